"""Results in the file formats of msame and ais_bench."""

import numpy as np

SHAPE = (64, 64)


def probabilities(alpha):
    return np.stack([1 - alpha, alpha], axis=-1)


def write_results(folder, alphas, naming="_output_0.bin", dtype=np.float32, channels=probabilities):
    folder.mkdir(parents=True)
    for stem, alpha in alphas.items():
        path, values = str(folder / (stem + naming)), channels(alpha).astype(dtype)
        if naming.endswith(".bin"):
            values.tofile(path)
        elif naming.endswith(".npy"):
            np.save(path, values[None])
        else:
            np.savetxt(path, values.reshape(-1, 2), "%.6g")
    return str(folder)
