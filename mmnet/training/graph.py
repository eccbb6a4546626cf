"""The graph of one training step."""

from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from mmnet.distributed.group import ALONE, Group, all_reduce_mean, mean_with_gradient
from mmnet.io.errors import MmnetError
from mmnet.networks.layers import BATCH_STATISTICS, INFERENCE, TRAINING, Mode, mode_for_group
from mmnet.networks.network import Network
from mmnet.networks.registry import alphas_from_logits, build, input_shape
from mmnet.tf.checkpoint import AVERAGE_SUFFIX
from mmnet.tf.compat import tf
from mmnet.training.losses import ADAPTATION, loss_terms, teacher_loss, total_loss, weight_decay

COPY = "/copy"  # suffix of the variables of a frozen copy
OPTIMIZERS = ("adam", "gd", "momentum", "rmsprop")
MOMENTUM = 0.9


class Recipe(NamedTuple):
    """How a step computes its loss and its update."""

    loss_weights: Dict[str, float] = {}  # term of losses.TERMS, or "teacher" -> weight
    weight_decay: float = 4e-7
    optimizer: str = "adam"  # one of OPTIMIZERS
    composition_range: float = 1.0  # divides the composition term
    teacher_temperature: float = 1.0  # for the term "teacher"
    trainable_scopes: Optional[Sequence[str]] = None  # prefixes of variable names; None: all
    ema_decay: Optional[float] = None  # decay of the weights' moving average; None: no average
    mode: Mode = TRAINING
    sync_batch_norm: bool = False  # use the statistics of the batches of all processes


class TrainingGraph(NamedTuple):
    """The tensors and variables of a training step."""

    images: "tf.Tensor"  # placeholder float32 [N,H,W,C], 0..255
    truths: "tf.Tensor"  # placeholder float32 [N,H,W], 0..1
    teacher_alphas: Optional["tf.Tensor"]  # placeholder as truths; None without a teacher
    learning_rate: "tf.Tensor"  # placeholder, scalar
    batch_norm_decay: "tf.Tensor"  # placeholder, scalar; of the moving statistics
    stop_here: "tf.Tensor"  # placeholder, scalar; above 0: this process received a signal
    stop: "tf.Tensor"  # scalar; above 0: a process received a signal
    step: "tf.Operation"  # updates all variables
    losses: Dict[str, "tf.Tensor"]  # total, model, regularization and terms, before the update
    finite_check: Optional["tf.Operation"]  # fails if the loss is not finite
    alphas: "tf.Tensor"  # [N,H,W,1]
    global_step: "tf.Variable"  # int32, as published
    variables: List["tf.Variable"]  # everything that a checkpoint contains
    slots: List[str]  # names of the optimizer's variables
    copies: Dict["tf.Variable", "tf.Variable"]  # average or frozen copy -> its variable
    initializer: "tf.Operation"


def build_training_graph(
    network: Network,
    recipe: Recipe,
    batch_size: int,
    wrap_optimizer: Optional[Callable] = None,
    group: Group = ALONE,
) -> TrainingGraph:
    """Build a training step into the default graph.

    Each process of the group computes the gradients of its own ``batch_size`` images, and all apply
    their mean. The losses are means over the group, too. If the loss is not finite, the step fails
    and changes no variable. ``wrap_optimizer`` (optimizer -> optimizer with loss scaling) skips the
    update instead.
    """
    inputs = _build_placeholders(network, batch_size, "teacher" in recipe.loss_weights)
    global_step = tf.get_variable(  # read by dropout
        "global_step", [], tf.int32, tf.zeros_initializer(), trainable=False
    )
    outputs = build(network, inputs["images"], _mode_of_process(recipe, group))
    copies = {}
    if ADAPTATION.keys() & recipe.loss_weights.keys():
        outputs, copies = _add_frozen_copy(outputs, network, inputs["images"])
    losses = _compute_losses(outputs, inputs, recipe)
    network_variables = set(tf.global_variables())
    trained = _trained_variables(recipe.trainable_scopes)
    optimizer = make_optimizer(recipe.optimizer, inputs["learning_rate"])
    if wrap_optimizer is not None:
        optimizer = wrap_optimizer(optimizer)
    gradients = _compute_gradients(optimizer, losses["total"], trained)
    means = _average_results(losses, gradients, inputs["stop_here"], group)
    losses = means["losses"]
    finite_check = _check_finite(losses) if wrap_optimizer is None else None
    step = _update(
        optimizer,
        means["gradients"],
        means["statistics"],
        decay=inputs["batch_norm_decay"],
        global_step=global_step,
        finite_check=finite_check,
    )
    slots = [v.op.name for v in tf.global_variables() if v not in network_variables]
    if recipe.ema_decay is not None:
        averages, step = _add_averages(trained, step, recipe.ema_decay)
        copies.update(averages)
    return TrainingGraph(
        **inputs,
        stop=means["stop"],
        step=step,
        losses=losses,
        finite_check=finite_check,
        alphas=alphas_from_logits(outputs.logits),
        global_step=global_step,
        variables=tf.global_variables(),
        slots=slots,
        copies=copies,
        initializer=tf.global_variables_initializer(),
    )


def _compute_gradients(optimizer, loss, variables):
    """Return (gradient, variable). The sums have a fixed order, so the bits, too."""
    method = tf.AggregationMethod.EXPERIMENTAL_TREE  # sums in pairs, in the order of the graph
    gradients = optimizer.compute_gradients(loss, variables, aggregation_method=method)
    gradients = [(gradient, variable) for gradient, variable in gradients if gradient is not None]
    if not gradients:
        raise MmnetError("no loss term depends on these variables", "trainable_scopes")
    return gradients


def _average_results(losses, gradients, stop, group):
    """Return the means over the group; gradients and statistics in pairs with their variables."""
    statistics = tf.get_collection(BATCH_STATISTICS)  # (moving statistic, batch statistic)
    local_results = {
        "losses": losses,
        "gradients": [gradient for gradient, _ in gradients],
        "statistics": [batch for _, batch in statistics],
        "stop": stop,
    }
    means = all_reduce_mean(local_results, group)
    variables = [variable for _, variable in gradients]
    means["gradients"] = list(zip(means["gradients"], variables))
    means["statistics"] = list(zip([moving for moving, _ in statistics], means["statistics"]))
    return means


def _check_finite(losses):
    """Let the step fail if the total loss is not finite. Return the operation that fails."""
    losses["total"] = tf.check_numerics(losses["total"], "the loss is not finite")
    return losses["total"].op


def make_optimizer(name: str, learning_rate: "tf.Tensor") -> "tf.train.Optimizer":
    """Return an optimizer by its name in OPTIMIZERS."""
    if name == "gd":
        return tf.train.GradientDescentOptimizer(learning_rate)
    if name == "momentum":
        return tf.train.MomentumOptimizer(learning_rate, momentum=MOMENTUM)
    if name == "rmsprop":
        return tf.train.RMSPropOptimizer(learning_rate)
    return tf.train.AdamOptimizer(learning_rate)


def _build_placeholders(network, batch_size, has_teacher):
    """Return the placeholders of a TrainingGraph by name."""
    shapes = {
        "images": input_shape(network, batch_size),
        "truths": [batch_size, *network.shape],
        "learning_rate": [],
        "batch_norm_decay": [],
    }
    if has_teacher:
        shapes["teacher_alphas"] = shapes["truths"]
    inputs = {name: tf.placeholder(tf.float32, shape, name) for name, shape in shapes.items()}
    inputs["stop_here"] = tf.placeholder_with_default(tf.constant(0.0), [], name="stop_here")
    inputs.setdefault("teacher_alphas", None)
    return inputs


def _mode_of_process(recipe, group):
    if group.size == 1:
        return recipe.mode
    mean = partial(mean_with_gradient, group=group) if recipe.sync_batch_norm else None
    return mode_for_group(recipe.mode, rank=group.rank, group_size=group.size, mean_over_group=mean)


def _add_frozen_copy(outputs, network, images):
    """Add the heads of a copy that is not trained. Also return its variables: copy -> variable."""
    variables = {variable.op.name: variable for variable in tf.global_variables()}

    def make_frozen(getter, name, *args, **kwargs):
        return getter(name + COPY, *args, **dict(kwargs, trainable=False))

    with tf.variable_scope(tf.get_variable_scope(), custom_getter=make_frozen):
        copy = build(network, images, INFERENCE)
    copies = {
        variable: variables[variable.op.name[: -len(COPY)]]
        for variable in tf.global_variables()
        if variable.op.name.endswith(COPY)
    }
    heads = {f"copy_{name}": head for name, head in copy.heads.items()}
    heads["copy_matte"] = alphas_from_logits(copy.logits)
    return outputs._replace(heads=dict(outputs.heads, **heads)), copies


def _compute_losses(outputs, inputs, recipe):
    """Return the total, model and regularization losses and the terms: name -> scalar."""
    names = [name for name in recipe.loss_weights if name != "teacher"]
    terms = loss_terms(outputs, inputs["truths"][..., tf.newaxis], names)
    if "teacher" in recipe.loss_weights:
        teacher_alphas = inputs["teacher_alphas"][..., tf.newaxis]
        terms["teacher"] = teacher_loss(outputs.logits, teacher_alphas, recipe.teacher_temperature)
    if "composition" in terms:
        terms["composition"] /= recipe.composition_range
    regularization = weight_decay(tf.trainable_variables(), recipe.weight_decay)
    model = total_loss(terms, recipe.loss_weights)
    total = model + regularization
    return {"total": total, "model": model, "regularization": regularization, **terms}


def _trained_variables(scopes):
    trained = tf.trainable_variables()
    if scopes is not None:
        trained = [v for v in trained if v.op.name.startswith(tuple(scopes))]
    if not trained:
        raise MmnetError(
            f"{' '.join(scopes)}: no variable has a name with this prefix", "trainable_scopes"
        )
    return trained


def _update(optimizer, gradients, statistics, *, decay, global_step, finite_check):
    """Return the operation that updates weights, moving statistics and the global step."""
    if finite_check is None:  # the optimizer scales the loss
        # A statistic that is not finite would spoil the moving statistic forever.
        statistics = [
            (moving, tf.where(tf.is_finite(batch), batch, moving)) for moving, batch in statistics
        ]
    # A loss-scaling optimizer reads the state of the chip, so it must not have other control
    # dependencies. It counts only the steps that it applies; the loop counts all.
    with tf.control_dependencies([] if finite_check is None else [finite_check]):
        rate = 1 - decay
        updates = [moving.assign_sub((moving - batch) * rate) for moving, batch in statistics]
        if finite_check is None:
            update = optimizer.apply_gradients(gradients)
            return tf.group(update, global_step.assign_add(1), *updates)
        return tf.group(optimizer.apply_gradients(gradients, global_step=global_step), *updates)


def _add_averages(trained, step, decay):
    """Return moving average -> weight, and the step that also updates the averages."""
    averages = {}
    for variable in trained:
        name, zeros = variable.op.name + AVERAGE_SUFFIX, tf.zeros_initializer()
        average = tf.get_variable(name, variable.shape, initializer=zeros, trainable=False)
        averages[average] = variable
    # tf.train.ExponentialMovingAverage may read a weight before or after its update.
    with tf.control_dependencies([step]):
        updates = [
            average.assign_sub((average - variable.read_value()) * (1 - decay))
            for average, variable in averages.items()
        ]
        return averages, tf.group(*updates)
