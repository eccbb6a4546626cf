#!/bin/sh
# Convert a frozen graph with atc (default: offline_infer/mmnet.pb -> offline_infer/mmnet.om).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
pb=$root/offline_infer/mmnet.pb soc=Ascend310P3 height=256 width=256 aipp='' precision=allow_fp32_to_fp16
usage="usage: sh scripts/run_pb2om.sh [--pb FILE] [--soc_version $soc] [--size 256 | --shape HEIGHT WIDTH] [--precision_mode $precision] [--aipp]"
while [ $# -gt 0 ]; do
    for value; do
        [ -n "$value" ] || { echo "run_pb2om: $1: a value is empty" >&2; exit 2; }
    done
    case $1 in
        --aipp) aipp=yes; shift; continue ;; # uint8 images
        --shape)
            [ $# -ge 3 ] || { echo "$usage" >&2; exit 2; }
            height=$2 width=$3
            shift 3
            continue
            ;;
        --pb | --soc_version | --size | --precision_mode) [ $# -ge 2 ] || { echo "$usage" >&2; exit 2; } ;;
        *) echo "run_pb2om: unknown option $1; $usage" >&2; exit 2 ;;
    esac
    case $1 in
        --pb) pb=$2 ;;
        --soc_version) soc=$2 ;;
        --size) height=$2 width=$2 ;;
        --precision_mode) precision=$2 ;;
    esac
    shift 2
done
for side in "$height" "$width"; do # sides are also part of the program for sed
    case $side in
        [!1-9]* | *[!0-9]* | ?????*) valid= ;;
        *) [ $((side % 32)) -eq 0 ] && valid=yes || valid= ;;
    esac
    [ "$valid" ] || { echo "run_pb2om: size $side: must be a multiple of 32, for example 256" >&2; exit 2; }
done
[ -f "$pb" ] || { echo "run_pb2om: no frozen graph $pb: sh scripts/run_convert_ckpt2pb.sh DATASET CKPT writes it" >&2; exit 2; }
set -- --model="$pb" --framework=3 --output="${pb%.pb}" --input_format=NHWC --input_shape="input_x:1,$height,$width,3" \
    --out_nodes=output:0 --soc_version="$soc" --output_type=FP32 --precision_mode="$precision" --log=error
if [ -n "$aipp" ]; then # the graph may divide by 255 itself; dividing twice would not be noticed
    if LC_ALL=C grep -q preprocess -- "$pb"; then divides=inside; else divides=outside; fi
    config=${pb%.pb}.aipp.cfg
    sed -e "s/\(src_image_size_w\): .*/\1: $width/" -e "s/\(src_image_size_h\): .*/\1: $height/" "$root/offline_infer/aipp_$divides.cfg" > "$config.writing"
    mv -f "$config.writing" "$config" # replaces a link, not its target
    set -- "$@" --insert_op_conf="$config"
fi
printf '%s\n' "atc $*"
command -v atc > /dev/null || { echo "run_pb2om: atc not found; install the CANN toolkit and source its set_env.sh" >&2; exit 2; }
exec atc "$@"
