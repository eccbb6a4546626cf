# Functions of the recipes, which read this file. A recipe is called with PORTRAITS PERSONS BACKGROUNDS FOLDER:
#   PORTRAITS    EG1800 (1,325 training images)
#   PERSONS      Supervisely Persons, selfies and street fashion (6,601 training images, 235 validation images)
#   BACKGROUNDS  a folder with 300 photos without people: rooms, house fronts, streets
#   FOLDER       for the trainings and means; a repeated call continues there
# STEPS=2 limits every training to 2 steps, to try a recipe.
[ $# -eq 4 ] || { echo "usage: sh $0 PORTRAITS PERSONS BACKGROUNDS FOLDER" >&2; exit 2; }
portraits=$1 persons=$2 backgrounds=$3 folder=$4
sh "$root/scripts/setup.sh"
mkdir -p "$folder"

mmnet() { "$root/.venv/bin/python" -m mmnet "$@"; }

# train NAME START STEPS FLAGS...: train from the moving averages of START, and keep moving averages.
train() {
    name=$1 start=$2 steps=$3
    shift 3
    mean "start_$name" "$start" "$start"
    mmnet train --train_dir "$folder/$name" --checkpoint_path "$folder/start_$name" --dataset_path "$portraits" "$persons" \
        --use_ema --max_step_from_restore "${STEPS:-$steps}" "$@"
}

# mean NAME SOURCES...: write the mean of the moving averages of trainings and means in FOLDER, and of weights by name.
mean() {
    mean=$folder/$1/MMNetModel-1
    shift
    [ ! -f "$mean.index" ] || return 0
    for source in "$@"; do
        shift
        [ ! -d "$folder/$source" ] || source=$folder/$source
        set -- "$@" "$source"
    done
    mmnet weights average "$@" --use_ema --output "$mean"
}

# measured_mean NAME SOURCE: write SOURCE with the statistics of batch norm on the training images.
measured_mean() {
    [ -f "$folder/$1/MMNetModel-1.index" ] ||
        mmnet weights average "$folder/$2" --dataset_path "$portraits" "$persons" --output "$folder/$1/MMNetModel-1"
}

# scaled NAME SOURCE FLAGS...: write SOURCE with the logit scale that is best on PERSONS/val.
scaled() {
    name=$1 source=$2
    shift 2
    mmnet calibrate --checkpoint_path "$folder/$source" --dataset_path "$persons" --dataset_split_name val "$@" \
        --output "$folder/$name/MMNetModel-1"
}
