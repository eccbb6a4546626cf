"""Results of msame and ais_bench, and the identity of scores."""

import numpy as np

from mmnet.evaluation.records import Identity

SHAPE = (64, 64)


def make_identity(**fields):
    """Return an Identity. Fields that are not given have the defaults of mmnet evaluate."""
    identity = Identity(
        network={"name": "mmnet", "shape": [64, 96]},
        source="abc",
        use_ema=False,
        logit_scale=1.0,
        as_photos=False,
        second_pass=True,
        refine_edges=True,
        device=None,
        target_eval_shape=[8, 6],
        all_metrics=False,
        pictures="def",
    )
    return identity._replace(**fields)


def probabilities(alpha):
    return np.stack([1 - alpha, alpha], axis=-1)


def write_results(
    folder, alphas, naming="_output_0.bin", dtype=np.float32, to_output=probabilities
):
    """Write the result file of each stem in ``alphas`` (stem -> alpha). Return the folder."""
    folder.mkdir(parents=True)
    for stem, alpha in alphas.items():
        path, values = str(folder / (stem + naming)), to_output(alpha).astype(dtype)
        if naming.endswith(".bin"):
            values.tofile(path)
        elif naming.endswith(".npy"):
            np.save(path, values[None])
        else:
            np.savetxt(path, values.reshape(-1, 2), "%.6g")
    return str(folder)
