"""The graph of one training step."""
from typing import Dict, List, NamedTuple

from mmnet.checkpoint import AVERAGE
from mmnet.compat import tf
from mmnet.networks.layers import BATCH_STATISTICS, TRAINING
from mmnet.networks.mmnet import mmnet
from mmnet.networks.quantization import QUANTIZED_TRAINING
from mmnet.training.losses import loss_terms, total_loss, weight_decay

OPTIMIZERS = {
    "adam": tf.train.AdamOptimizer,
    "gd": tf.train.GradientDescentOptimizer,
    "momentum": lambda rate: tf.train.MomentumOptimizer(rate, momentum=0.9),
    "rmsprop": tf.train.RMSPropOptimizer,
}


class TrainingGraph(NamedTuple):
    images: tf.Tensor  # placeholder float32 [N,size,size,3] 0..255
    truths: tf.Tensor  # placeholder float32 [N,size,size] 0..1
    learning_rate: tf.Tensor  # placeholder, scalar
    batch_norm_decay: tf.Tensor  # placeholder, scalar: of the moving statistics
    step: tf.Operation  # updates every variable; a loss that is not finite: build_training_graph's wrap_optimizer
    losses: Dict[str, tf.Tensor]  # total, model, regularization and the terms, before the update
    alphas: tf.Tensor  # [N,size,size]
    global_step: tf.Variable  # int32, as published
    variables: List[tf.Variable]  # all that a checkpoint holds
    slots: List[str]  # names of those that belong to the optimizer
    averages: Dict[tf.Variable, tf.Variable]  # weight -> its moving average; who starts the run gives it a value
    initializer: tf.Operation


def build_training_graph(batch_size, size, width_multiplier, term_weights, decay, optimizer="adam",
                         composition_range=1.0, trainable_scopes=None, ema_decay=None, wrap_optimizer=None,
                         mode=TRAINING):
    """Build into the default graph.

    Args:
        term_weights: losses.TERMS name -> weight above 0. decay: weight decay. trainable_scopes: name prefixes.
        ema_decay: of the moving average of the trained variables; None keeps none.
        wrap_optimizer: optimizer -> the loss-scaling one around it (backend.loss_scaling), which updates nothing in a step
            that is not finite. Without it, a loss that is not finite stops the step before it touches anything.
        mode: layers.TRAINING, or quantization.QUANTIZED_TRAINING, whose ranges must be measured first.

    Raises:
        ValueError: trainable_scopes match nothing.
    """
    images = tf.placeholder(tf.float32, [batch_size, size, size, 3], name="images")
    truths = tf.placeholder(tf.float32, [batch_size, size, size], name="truths")
    learning_rate = tf.placeholder(tf.float32, [], name="learning_rate")
    batch_norm_decay = tf.placeholder(tf.float32, [], name="batch_norm_decay")
    images01 = images / 255.0
    log_odds = mode is QUANTIZED_TRAINING
    outputs = mmnet(images01, mode, width_multiplier, log_odds)
    logits = outputs.logits
    if log_odds:  # softmax of (0, x) is what a graph for TFLite computes as the sigmoid of x
        logits = tf.concat([tf.zeros_like(logits), logits], axis=3)
    global_step = tf.get_variable("global_step", [], tf.int32, tf.zeros_initializer(), trainable=False)

    terms = loss_terms(logits, outputs.coarse_logits, images01, truths[..., tf.newaxis], term_weights)
    if "composition" in terms:
        terms["composition"] /= composition_range
    regularization = weight_decay(tf.trainable_variables(), decay)
    total, model = total_loss(terms, term_weights, regularization)
    if wrap_optimizer is None:
        total = tf.check_numerics(total, "the loss is not finite")

    trained = [variable for variable in tf.trainable_variables()
               if trainable_scopes is None or variable.op.name.startswith(tuple(trainable_scopes))]
    if not trained:
        raise ValueError("--trainable_scopes %s: no variable's name starts so" % " ".join(trainable_scopes))
    network = set(tf.global_variables())
    rule = OPTIMIZERS[optimizer](learning_rate)
    statistics = tf.get_collection(BATCH_STATISTICS)
    if wrap_optimizer is not None:
        rule = wrap_optimizer(rule)
        # One statistic that is not finite would stay in the moving one for ever: where it is not, nothing moves.
        statistics = [(moving, tf.where(tf.is_finite(batch), batch, moving)) for moving, batch in statistics]
    gradients = rule.compute_gradients(total, trained, aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)
    # A loss-scaling optimizer decides by the state of the chip: it may stand under no other control dependencies. It
    # counts only the steps that it lets through; we count all, as the loop does.
    with tf.control_dependencies([total] if wrap_optimizer is None else []):
        moves = [moving.assign_sub((moving - batch) * (1 - batch_norm_decay)) for moving, batch in statistics]
        if wrap_optimizer is None:
            step = tf.group(rule.apply_gradients(gradients, global_step=global_step), *moves)
        else:
            step = tf.group(rule.apply_gradients(gradients), global_step.assign_add(1), *moves)
    slots = [variable.op.name for variable in tf.global_variables() if variable not in network]
    averages = {}
    if ema_decay is not None:  # by hand: tf.train.ExponentialMovingAverage reads a weight before or after its update
        averages = {variable: tf.get_variable(variable.op.name + AVERAGE, variable.shape, trainable=False,
                                              initializer=tf.zeros_initializer()) for variable in trained}
        with tf.control_dependencies([step]):
            step = tf.group(*[average.assign_sub((average - variable.read_value()) * (1 - ema_decay))
                              for variable, average in averages.items()])
    losses = dict({"total": total, "model": model, "regularization": regularization}, **terms)
    return TrainingGraph(images, truths, learning_rate, batch_norm_decay, step, losses,
                         tf.nn.softmax(logits)[..., 1], global_step, tf.global_variables(), slots, averages,
                         tf.global_variables_initializer())
