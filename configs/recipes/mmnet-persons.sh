#!/bin/sh
# Train mmnet-persons: sh configs/recipes/mmnet-persons.sh PORTRAITS PERSONS BACKGROUNDS FOLDER (common.sh explains them)
# The card (mmnet/weights/persons/README.md) lists the gain of every step. The bundled weights differ a little: the trainings e and g were stopped
# before the end of their schedules (of 1,500 steps), f ran in two processes, and the random images that measured batch norm were others.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/configs/recipes/common.sh"

# Photos of people of every kind, first at 160x160, then at 256x256 before other backgrounds.
train persons_160 mmnet-887000 12000 --config mmnet_persons_160
train persons_256 persons_160 3500 --config mmnet_persons_256 --backgrounds_path "$backgrounds"
mean mean_1 persons_160 persons_256

# Weaker augmentation: a small network that has been trained for long learns more from nearly unchanged images.
wide() { train "$@" --config mmnet_persons --backgrounds_path "$backgrounds"; }
wide a mean_1 3500 --dataset_weights 1 1
mean mean_2 a mean_1
wide b mean_2 2400 --dataset_weights 1 1.5 --learning_rate 6e-4 --loss_weights gradient=4
mean mean_3 a b

# More portraits.
mean mean_4 mean_3 mean_3 mean_3 mmnet-887000 mmnet-887000
wide c mean_4 1800 --dataset_weights 2 1.5 --swapped_backgrounds .15 --augmentation_strength .2 --learning_rate 5e-4 --seed 5
weak() { wide "$@" --swapped_backgrounds .12 --augmentation_strength .15 --learning_rate 5e-4 --loss_weights gradient=3; }
weak d c 2600 --dataset_weights 2 1.7 --seed 11
wide e d 535 --dataset_weights 2.4 1.6 --swapped_backgrounds .1 --augmentation_strength .12 --learning_rate 4e-4 \
    --loss_weights gradient=4 --seed 12
mean start_of_f d e mean_3
weak f start_of_f 4000 --dataset_weights 2.2 1.6 --seed 21
mean mean_f f d e mean_3
measured_mean mean_5 mean_f

# The moving statistics of mean_5 stay. No other backgrounds.
frozen() { train "$@" --config mmnet_persons --mode freeze_batch_norm --swapped_backgrounds 0; }
unchanged_colours() { frozen "$@" --augmentation_method resize_random_scale_crop_flip_rotate; }
unchanged_colours g mean_5 1000 --dataset_weights 2 1.7 --learning_rate 3e-4 --loss_weights gradient=3 --seed 32
unchanged_colours h g 1800 --dataset_weights 3 1.2 --learning_rate 3e-4 --loss_weights gradient=3 --seed 33
mean start_of_i g h
unchanged_colours i start_of_i 1200 --dataset_weights 3 1.2 --learning_rate 3e-4 --loss_weights gradient=6 --seed 34
mean mean_6 g h i
unchanged_colours j mean_6 2500 --dataset_weights 3 1.4 --learning_rate 5e-4 --loss_weights gradient=8 --seed 35
unchanged_colours k j 2600 --dataset_weights 3.5 1.5 --learning_rate 6e-4 --loss_weights gradient=16 --seed 36
mean start_of_l j k
frozen l start_of_l 1300 --dataset_weights 3 1.6 --augmentation_method rich --augmentation_strength .33 --learning_rate 5e-4 \
    --loss_weights gradient=16 --seed 37
mean mean_7 i k k l l
scaled mmnet-persons mean_7
