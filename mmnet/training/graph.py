"""The graph of one training step."""

from functools import partial
from typing import Dict, List, NamedTuple, Optional

from mmnet.distributed.group import ALONE, mean_in_backward_too, means
from mmnet.io.errors import MmnetError
from mmnet.networks.layers import BATCH_STATISTICS, INFERENCE, TRAINING, Mode, mode_for_group
from mmnet.networks.registry import alphas_from_logits, build, input_shape
from mmnet.tf.checkpoint import AVERAGE_SUFFIX
from mmnet.tf.compat import tf
from mmnet.training.losses import ADAPTATION, loss_terms, teacher_loss, total_loss, weight_decay

COPY = "/copy"  # ends the names of what a run adapts away from

OPTIMIZERS = {
    "adam": lambda rate: tf.train.AdamOptimizer(rate),
    "gd": lambda rate: tf.train.GradientDescentOptimizer(rate),
    "momentum": lambda rate: tf.train.MomentumOptimizer(rate, momentum=0.9),
    "rmsprop": lambda rate: tf.train.RMSPropOptimizer(rate),
}


class Recipe(NamedTuple):
    """What a step does besides running the network."""

    terms: Dict[str, float]  # losses.TERMS name -> weight above 0
    weight_decay: float = 4e-7
    optimizer: str = "adam"  # a key of OPTIMIZERS
    composition_range: float = 1.0  # that the composition term is divided by
    teacher_temperature: float = 1.0  # of the term "teacher"
    trainable_scopes: Optional[tuple] = None  # prefixes of variables' names; None trains all
    ema_decay: Optional[float] = None  # of the weights' moving average; None keeps none
    mode: Mode = TRAINING  # or quantization.QUANTIZED_TRAINING, whose ranges are measured first
    sync_batch_norm: bool = False  # batch norm by the batches of all processes


class TrainingGraph(NamedTuple):
    images: "tf.Tensor"  # placeholder float32 [N,H,W,C] 0..255
    truths: "tf.Tensor"  # placeholder float32 [N,H,W] 0..1
    taught: Optional["tf.Tensor"]  # the same, of a teacher's alphas; None without that term
    learning_rate: "tf.Tensor"  # placeholder, scalar
    batch_norm_decay: "tf.Tensor"  # placeholder, scalar: of the moving statistics
    stop_here: "tf.Tensor"  # placeholder, scalar: above 0 where this process wants no more steps
    stop: "tf.Tensor"  # scalar, after the step: above 0 where one of the processes wants none
    step: "tf.Operation"  # updates every variable, or stops: build_training_graph's wrap_optimizer
    losses: Dict[str, "tf.Tensor"]  # total, model, regularization and the terms, before the update
    alphas: "tf.Tensor"  # [N,H,W,1]
    global_step: "tf.Variable"  # int32, as published
    variables: List["tf.Variable"]  # all that a checkpoint holds
    slots: List[str]  # names of those that belong to the optimizer
    # Variable -> what begins at its value: a weight's moving average, a frozen copy.
    averages: Dict["tf.Variable", "tf.Variable"]
    copies: Dict["tf.Variable", "tf.Variable"]
    initializer: "tf.Operation"


def build_training_graph(network, recipe, batch_size, wrap_optimizer=None, group=ALONE):
    """Build into the default graph.

    Args:
        network: Network. recipe: Recipe. batch_size: N, of this process.
        group: the processes that take each step together: each computes gradients of its own
            pictures, all move by the mean of them. Losses are means over the group, too.
        wrap_optimizer: optimizer -> the loss-scaling one around it (device.loss_scaling), which
            updates nothing in a step that is not finite. Without it, a loss that is not finite
            stops the step before it touches anything.

    Raises:
        ValueError: trainable_scopes match nothing; no such network.
    """
    images = tf.placeholder(tf.float32, input_shape(network, batch_size), name="images")
    truths = tf.placeholder(tf.float32, (batch_size,) + tuple(network.shape), name="truths")
    learning_rate = tf.placeholder(tf.float32, [], name="learning_rate")
    decay = tf.placeholder(tf.float32, [], name="batch_norm_decay")
    stop_here = tf.placeholder_with_default(tf.constant(0.0), [], name="stop_here")
    taught = None
    if "teacher" in recipe.terms:
        taught = tf.placeholder(tf.float32, truths.shape, name="taught")
    inputs = Inputs(images, truths, taught)
    global_step = tf.get_variable(  # dropout looks for it
        "global_step", [], tf.int32, tf.zeros_initializer(), trainable=False
    )
    outputs = build(network, inputs.images, _mode(recipe, group))
    copies = {}
    if ADAPTATION.keys() & recipe.terms.keys():
        outputs, copies = _beside_its_copy(outputs, network, inputs.images)
    losses = _losses(outputs, inputs, recipe)
    network_variables = set(tf.global_variables())
    trained = _trained_variables(recipe.trainable_scopes)
    rule = OPTIMIZERS[recipe.optimizer](learning_rate)
    if wrap_optimizer is not None:
        rule = wrap_optimizer(rule)
    # Gradients are summed in pairs, in a fixed order: the same bits every time.
    gradients = rule.compute_gradients(
        losses["total"], trained, aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE
    )
    found = Found(losses, gradients, tf.get_collection(BATCH_STATISTICS), stop_here)
    found = _of_all(found, group)
    losses = found.losses
    if wrap_optimizer is None:
        losses["total"] = tf.check_numerics(losses["total"], "the loss is not finite")
    step = _step(found, rule, decay, global_step, scales=wrap_optimizer is not None)
    slots = [
        variable.op.name for variable in tf.global_variables() if variable not in network_variables
    ]
    averages = {}
    if recipe.ema_decay is not None:
        averages, step = _with_averages(trained, step, recipe.ema_decay)
    return TrainingGraph(
        images=images,
        truths=truths,
        taught=taught,
        learning_rate=learning_rate,
        batch_norm_decay=decay,
        stop_here=stop_here,
        stop=found.stop,
        step=step,
        losses=losses,
        alphas=alphas_from_logits(outputs.logits),
        global_step=global_step,
        variables=tf.global_variables(),
        slots=slots,
        averages=averages,
        copies=copies,
        initializer=tf.global_variables_initializer(),
    )


class Inputs(NamedTuple):
    """What a step learns from: placeholders of a TrainingGraph."""

    images: "tf.Tensor"
    truths: "tf.Tensor"
    taught: Optional["tf.Tensor"]


def _mode(recipe, group):
    """Return the mode of this process."""
    if group.size == 1:
        return recipe.mode
    mean = partial(mean_in_backward_too, group=group) if recipe.sync_batch_norm else None
    return mode_for_group(recipe.mode, rank=group.rank, group_size=group.size, mean_over_group=mean)


def _beside_its_copy(outputs, network, images):
    """(Outputs with a frozen copy's heads among theirs, variable -> that copy's)."""
    variables = tf.global_variables()

    def frozen(getter, name, *rest, **more):
        return getter(name + COPY, *rest, **dict(more, trainable=False))

    with tf.variable_scope(tf.get_variable_scope(), custom_getter=frozen):
        copy = build(network, images, INFERENCE)
    by_name = {variable.op.name: variable for variable in tf.global_variables()}
    copies = {
        variable: by_name[variable.op.name + COPY]
        for variable in variables
        if variable.op.name + COPY in by_name
    }
    heads = {"copy_" + name: head for name, head in copy.heads.items()}
    heads["copy_matte"] = alphas_from_logits(copy.logits)
    return outputs._replace(heads=dict(outputs.heads, **heads)), copies


def _losses(outputs, inputs, recipe):
    """total, model, regularization and the terms: name -> scalar."""
    names = [name for name in recipe.terms if name != "teacher"]
    terms = loss_terms(outputs, inputs.truths[..., tf.newaxis], names)
    if inputs.taught is not None:
        terms["teacher"] = teacher_loss(
            outputs.logits, inputs.taught[..., tf.newaxis], recipe.teacher_temperature
        )
    if "composition" in terms:
        terms["composition"] /= recipe.composition_range
    regularization = weight_decay(tf.trainable_variables(), recipe.weight_decay)
    total, model = total_loss(terms, recipe.terms, regularization)
    return dict({"total": total, "model": model, "regularization": regularization}, **terms)


def _trained_variables(scopes):
    trained = [
        variable
        for variable in tf.trainable_variables()
        if scopes is None or variable.op.name.startswith(tuple(scopes))
    ]
    if not trained:
        raise MmnetError("--trainable_scopes %s: no variable's name starts so" % " ".join(scopes))
    return trained


class Found(NamedTuple):
    """What a process finds of its pictures in a step; then the mean of what all have found."""

    losses: Dict[str, "tf.Tensor"]
    gradients: list  # (gradient or None, variable)
    statistics: list  # (moving statistic, the batch's)
    stop: "tf.Tensor"


def _of_all(found, group):
    """The means over a group: one buffer holds all."""
    known = [(gradient, variable) for gradient, variable in found.gradients if gradient is not None]
    tensors = list(found.losses.values()) + [gradient for gradient, _ in known]
    tensors += [batch for _, batch in found.statistics] + [found.stop]
    shared = iter(means(tensors, group))
    return Found(
        {name: next(shared) for name in found.losses},
        [(next(shared), variable) for _, variable in known],
        [(moving, next(shared)) for moving, _ in found.statistics],
        next(shared),
    )


def _step(found, rule, decay, global_step, *, scales):
    """The operation that moves the weights, the moving statistics and the global step.

    rule: tf.train.Optimizer; scales: whether it scales the loss. decay: of the moving statistics.
    """
    statistics = found.statistics
    if scales:
        # One statistic that is not finite would stay in the moving one for ever: where it is not,
        # nothing moves.
        statistics = [
            (moving, tf.where(tf.is_finite(batch), batch, moving)) for moving, batch in statistics
        ]
    # A loss-scaling optimizer decides by the state of the chip: it may stand under no other control
    # dependencies. It counts only the steps that it lets through; we count all, as the loop does.
    with tf.control_dependencies([] if scales else [found.losses["total"]]):
        moves = [moving.assign_sub((moving - batch) * (1 - decay)) for moving, batch in statistics]
        if scales:
            moved = rule.apply_gradients(found.gradients)
            return tf.group(moved, global_step.assign_add(1), *moves)
        return tf.group(rule.apply_gradients(found.gradients, global_step=global_step), *moves)


def _with_averages(trained, step, decay):
    """(weight -> its moving average, the step that moves the averages too).

    They are kept by hand: tf.train.ExponentialMovingAverage reads a weight before or after its
    update.
    """
    averages = {
        variable: tf.get_variable(
            variable.op.name + AVERAGE_SUFFIX,
            variable.shape,
            trainable=False,
            initializer=tf.zeros_initializer(),
        )
        for variable in trained
    }
    with tf.control_dependencies([step]):
        moves = [
            average.assign_sub((average - variable.read_value()) * (1 - decay))
            for variable, average in averages.items()
        ]
        return averages, tf.group(*moves)
