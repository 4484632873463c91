"""A valid call of every public callable of the tasks, layers and models, for the fuzzer to spoil.

``CALLS`` lists callables with their arguments. A method is that of one small instance; a test
checks that no public function, class or method is missing.
"""

from __future__ import annotations

import functools
import inspect

import numpy as np
import torch

from icl_lib.layers import attention, linear, mesa, recursive_mesa, softmax, tape
from icl_lib.models import (
    blocks,
    compressed,
    config,
    constructions,
    deep_linear,
    distillation,
    inspection,
    learned_inverse,
    prompting,
    single_layer,
    transformer,
)
from icl_lib.tasks import dynamics, few_shot, inputs, regression, shifts, tokens

F64 = torch.float64


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return normal numbers in float64: twice as large, so that rounding leaves some whole ones."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(shape, generator=generator, dtype=F64)


def positional(method, *names: str):
    """Return a method that takes ``*inputs`` as a function of the inputs' names."""

    @functools.wraps(method)
    def call(**given):
        inputs = [given.pop(name) for name in names]
        return method(*inputs, **given)

    named = inspect.Parameter.KEYWORD_ONLY
    others = [p for p in inspect.signature(method).parameters.values() if p.kind is named]
    inputs = [inspect.Parameter(name, named) for name in names]
    call.__signature__ = inspect.Signature([*inputs, *others])
    call.__self__ = getattr(method, "__self__", None)
    return call


class Fresh(torch.Generator):
    """A generator whose copies start anew, so that every call of the fuzzer draws the same."""

    def __deepcopy__(self, _):
        return Fresh().manual_seed(0)


GENERATOR = Fresh().manual_seed(0)
DRAW = {"batch": 2, "length": 3, "generator": GENERATOR, "dtype": F64}
SYSTEMS = {"batch": 2, "generator": GENERATOR, "dtype": F64}
ROLL = {"w_star": draw(2, 3, 3), "drive": draw(2, 4, 3, seed=1)}
COVARIANCE = np.array([[2.0, 0.5], [0.5, 1.0]])
LAW = inputs.GaussianInputs(COVARIANCE)
PROMPT = {"xs": draw(2, 4, 3), "ys": draw(2, 4, seed=1), "x_query": draw(2, 3, seed=2)}
QKV = {"queries": draw(2, 4, 3), "keys": draw(2, 4, 3, seed=1), "values": draw(2, 4, 2, seed=2)}
MESA = {**QKV, "lam": draw(2).abs(), "forgetting": 0.5 + 0.5 * torch.rand(2, 4).double()}
STATES, TOKENS = draw(2, 5, 3), draw(2, 5, 12)
MATRICES = {"w_pv": draw(4, 4), "w_kq": draw(4, 4, seed=1)}
FACTORS = {name: draw(4, 4, seed=i) for i, name in enumerate(("w_p", "w_v", "w_k", "w_q"))}
BLOCKS = {"u11": draw(3, 3), "u12": draw(3), "u21": draw(3, seed=1), "u": draw()}
THETA = torch.eye(2, dtype=F64) / 2**0.25
SMALL_HEADS = {"n": 3, "heads": 2, "key_size": 4}
RAW = config.TransformerConfig.elements(("softmax", "linear"), width=8, mlp=5, **SMALL_HEADS)
SOFTMAX = transformer.Transformer(RAW, torch.Generator().manual_seed(0)).double()
BLOCK = SOFTMAX.blocks[0]
STREAM = draw(2, 5, 8)
PATCH = {"blocks.0.mlp": STREAM}
STACK = {"layers": ("linear", "linear"), "init_std": 0.5, **SMALL_HEADS}
SEQUENCE = config.TransformerConfig.constructed(**STACK)
LINEAR = transformer.Transformer(SEQUENCE, torch.Generator().manual_seed(0)).double()
PRODUCTS = compressed.products(LINEAR)
SCALARS = compressed.read_off(PRODUCTS)
MAPS = inspection.element_maps(SOFTMAX, STATES, 1)
GPT_SIZES = {"d": 3, "width": 4, "layers": 1, "heads": 2, "max_points": 5}
GPT = config.TransformerConfig.gpt(**GPT_SIZES)
NET = transformer.Transformer(GPT, torch.Generator().manual_seed(0)).double()
PROJECTED = compressed.ProductModel(SEQUENCE, PRODUCTS)
SHORT = compressed.CompressedModel(SEQUENCE, SCALARS)
PAIRS = few_shot.FewShotRegression(3).sample(2, 3, torch.Generator().manual_seed(0), F64)
PAIRS = PAIRS._replace(w_star=None)  # nobody reads it
ITERATION = learned_inverse.LearnedInverse(2).double()
EOS, PREFIX = draw(3), draw(2, 3)
LAYER = {
    **{"kind": "mesa", "width": 4, "heads": 2, "key_size": 3},
    **{"positions": True, "unit_keys": False, "biases": True, "fused": False},
}
TAPE = tape.Tape(("embed",), {"embed": torch.ones(2, 3)})
TWINS = distillation.LinearTwins(SOFTMAX, generator=torch.Generator().manual_seed(0)).double()
UPDATE = {"stream": TOKENS, "key_query": PRODUCTS.key_query[0], "value": PRODUCTS.value[0]}
SHORT_UPDATE = {"stream": TOKENS, "key_query": SCALARS.key_query[0], "value": SCALARS.value[0]}

_TASKS = [
    (dynamics.linear_rollout, ROLL),
    (dynamics.LinearDynamics, {"n": 3, "noise_std": 0.1, "initial": "normal"}),
    (dynamics.LinearDynamics(3).draw_systems, SYSTEMS),
    (dynamics.LinearDynamics(3).roll_out, ROLL),
    (dynamics.LinearDynamics(3).sample, DRAW),
    (dynamics.FixedTeacher, {"n": 3, "noise_std": 0.1, "initial": "normal", "teacher_seed": 3}),
    (dynamics.FixedTeacher(3).draw_systems, SYSTEMS),
    (dynamics.ContractingDynamics, {"n": 3, "noise_std": 0.1, "initial": "uniform", "clip": 2.0}),
    (dynamics.ContractingDynamics(3).draw_systems, SYSTEMS),
    (dynamics.ContractingDynamics(3).roll_out, ROLL),
    (
        dynamics.PartiallyObserved,
        {
            "n_hidden": 3,
            "n_observed": 2,
            "noise_std": 0.1,
            "observation_noise_std": 0.1,
            "observation_std": 0.5,
            "initial": "normal",
        },
    ),
    (dynamics.PartiallyObserved(3, 2).sample, DRAW),
    (
        dynamics.NonlinearDynamics,
        {"n": 3, "noise_std": 0.1, "initial": "uniform", "feature_seed": 3},
    ),
    (dynamics.NonlinearDynamics(3).features, {"states": STATES}),
    (dynamics.NonlinearDynamics(3).roll_out, ROLL),
    (few_shot.FewShotRegression, {"n": 3, "noise_std": 0.1}),
    (
        few_shot.FewShotRegression(3).sample,
        {"batch": 2, "pairs": 3, "generator": GENERATOR, "dtype": F64},
    ),
    (
        few_shot.few_shot_prompt,
        {"xs": PAIRS.xs, "ys": PAIRS.ys, "eos": EOS, "prefix": PREFIX},
    ),
    (few_shot.two_tasks, {"first": PAIRS, "second": PAIRS}),
    (inputs.check_law, {"inputs": LAW}),
    (inputs.GaussianInputs, {"covariance": COVARIANCE, "query_covariance": COVARIANCE}),
    (inputs.RandomDiagonalInputs, {"d": 3, "scale": 2.0}),
    (inputs.SubspaceInputs, {"d": 3, "k": 2}),
    (inputs.ScaledInputs, {"inputs": LAW, "scale": 2.0}),
    *((law, {"d": 3}) for law in (inputs.SkewedInputs, inputs.OrthantInputs)),
    *((law, {"d": 5}) for law in (inputs.OrthogonalQuery, inputs.RepeatedQuery)),
    (inputs.SkewedInputs(3).eigenvalues, {}),
    *(
        (law.sample, DRAW)
        for law in (
            LAW,
            inputs.RandomDiagonalInputs(3),
            inputs.SkewedInputs(3),
            inputs.SubspaceInputs(3, 2),
            inputs.OrthantInputs(3),
            inputs.OrthogonalQuery(5),
            inputs.RepeatedQuery(3),
            inputs.ScaledInputs(LAW, 2.0),
        )
    ),
    (
        regression.LinearRegression,
        {
            "inputs": LAW,
            "prior": COVARIANCE,
            "weight_scale": 2.0,
            "noise_std": 0.1,
            "noisy_query": True,
        },
    ),
    (regression.LinearRegression(LAW).sample_weights, SYSTEMS),
    (regression.LinearRegression(LAW, noise_std=0.1).sample, DRAW),
    (
        regression.NonlinearRegression,
        {
            "inputs": LAW,
            "function": lambda x: x.sum(-1),
            "noise_std": 0.1,
            "noisy_query": True,
        },
    ),
    (regression.NonlinearRegression(LAW, lambda x: x.sum(-1), 0.1).sample, DRAW),
    (regression.LinearRegression, {"inputs": LAW, "w_star": np.ones(2)}),
    (regression.gaussian_task, {"covariance": COVARIANCE}),
    (shifts.garg_suite, {"d": 4}),
    (tokens.prompt_matrix, PROMPT),
    (tokens.check_prompt, PROMPT),
    (tokens.interleave, {"xs": PROMPT["xs"], "ys": PROMPT["ys"]}),
    (tokens.previous_states, {"states": STATES}),
    (tokens.constructed_tokens, {"states": STATES}),
    (tokens.proposition_tokens, {"states": STATES, "phi_0": draw(3, 3)}),
    (tokens.stacked_observations, {"states": STATES, "k": 2}),
]

_LAYERS = [
    (linear.linear_attention, {**QKV, "causal": True, "normaliser": 2.0}),
    (linear.multi_head_linear_attention, {"projections": draw(2, 4, 3, 2, 3)}),
    (mesa.mesa_attention, {**MESA, "chunk": 3}),
    (recursive_mesa.recursive_mesa, MESA),
    (recursive_mesa.check_mesa, MESA),
    (recursive_mesa.decay_mask, {"forgetting": MESA["forgetting"]}),
    (softmax.softmax_attention, {**QKV, "causal": True}),
    (softmax.causal_mask, {"length": 3, "device": torch.device("cpu")}),
    (softmax.check_qkv, QKV),
    (softmax.attention_scores, {name: QKV[name] for name in ("queries", "keys")}),
    (softmax.causal_softmax, {"scores": draw(2, 4, 4)}),
    (attention.sinusoidal_positions, {"length": 3, "width": 4, "dtype": F64}),
    (attention.AttentionLayer, LAYER),
    (BLOCK.attention.project, {"tokens": STREAM}),
    (LINEAR.blocks[0].attention.project, {"tokens": TOKENS}),
    (BLOCK.attention.forward, {"tokens": STREAM, "tape": tape.Tape()}),
    (LINEAR.blocks[0].attention.forward, {"tokens": TOKENS, "tape": tape.Tape()}),
    (LINEAR.blocks[0].attention.products, {}),
    (tape.Tape, {"keep": ("embed",), "patch": {"embed": STREAM}}),
    (tape.check_tape, {"tape": TAPE}),
    (tape.check_names, {"argument": "names", "names": ("embed",)}),
    (TAPE.within, {"prefix": "blocks.0."}),
    (TAPE.wants, {"name": "embed"}),
    (TAPE.replaces, {"name": "embed"}),
]

_MODELS = [
    (compressed.products, {"model": LINEAR}),
    (compressed.block_means, {"matrix": draw(2, 8, 8)}),
    (compressed.expand, {"scalars": draw(2, 4, 4), "n": 2}),
    (compressed.read_off, {"weights": PRODUCTS}),
    (compressed.explained_share, {"matrix": draw(2, 8, 8)}),
    (compressed.effective_coefficients, {"scalars": SCALARS}),
    (compressed.interpolate, {"weights": PRODUCTS, "scalars": SCALARS, "share": 0.5}),
    (compressed.ProductModel, {"config": SEQUENCE, "weights": PRODUCTS}),
    (PROJECTED.tokens, {"states": STATES}),
    (PROJECTED.forward, {"states": STATES}),
    (PROJECTED.update, UPDATE),
    (compressed.CompressedModel, {"config": SEQUENCE, "weights": SCALARS}),
    (SHORT.update, SHORT_UPDATE),
    (constructions.preconditioned_step, {"preconditioner": draw(3, 3)}),
    (constructions.one_gd_step, {"d": 3, "step_size": 0.1, "dtype": F64}),
    (
        constructions.apply_layer,
        {"tokens": TOKENS, "weights": constructions.richardson_layer(3, 0.1, 0.2)},
    ),
    (
        constructions.gradient_step_layer,
        {"n": 3, "step_size": 0.1, "phi_0": draw(3, 3), "dtype": F64},
    ),
    (
        constructions.richardson_layer,
        {"n": 3, "step_size": 0.1, "ridge": 0.2, "momentum": 0.3, "dtype": F64},
    ),
    (constructions.readout_layer, {"n": 3, "dtype": F64}),
    (constructions.richardson_tokens, {"states": STATES}),
    (constructions.step_back, {"width": 4, "dtype": F64}),
    (constructions.copying_layer, {"n": 2, "sharpness": 3.0}),
    (
        deep_linear.DeepLinear,
        {"d": 3, "layers": 2, "move_inputs": True, "scale": 0.5},
    ),
    (deep_linear.DeepLinear(3, 2).double().forward, PROMPT),
    (
        distillation.LinearTwins,
        {"model": SOFTMAX, "init_std": 0.1, "generator": GENERATOR},
    ),
    (TWINS.losses, {"model": SOFTMAX, "states": STATES}),
    (TWINS.install, {"model": SOFTMAX, "index": 1}),
    (
        inspection.weights_by_distance,
        {"weights": draw(2, 4, 4), "distances": 2, "first": 1},
    ),
    (inspection.first_layer_weights, {"model": SOFTMAX, "states": STATES}),
    (inspection.sensitivity, {"model": SOFTMAX, "states": STATES, "layer": 1}),
    (inspection.element_maps, {"model": SOFTMAX, "states": STATES, "first": 1}),
    (
        inspection.element_products,
        {"model": SOFTMAX, "index": 1, "maps": MAPS},
    ),
    (inspection.identity_share, {"matrices": draw(2, 3, 3)}),
    (learned_inverse.LearnedInverse, {"steps": 2, "ridge": 0.1}),
    (ITERATION.forward, {"states": STATES, "lagged": True}),
    (ITERATION.apply_inverse, {"gram": draw(2, 3, 3), "states": draw(2, 3)}),
    (learned_inverse.prefix_sums, {"states": STATES}),
    (
        prompting.Prompt,
        {"n": 3, "prefix": 2, "eos": EOS, "generator": GENERATOR},
    ),
    (
        prompting.Prompt(3, eos=EOS).forward,
        {"model": SOFTMAX, "xs": PAIRS.xs, "ys": PAIRS.ys},
    ),
    (
        prompting.few_shot_predictions,
        {"model": SOFTMAX, "xs": PAIRS.xs, "ys": PAIRS.ys, "eos": EOS, "prefix": PREFIX},
    ),
    (prompting.freeze, {"model": LINEAR}),
    (single_layer.lsa, {"tokens": draw(2, 4, 5), **MATRICES, "rho": 4.0}),
    (single_layer.predict, {**PROMPT, **MATRICES}),
    (single_layer.predict_query, {**PROMPT, **BLOCKS}),
    (single_layer.paper_initialisation, {"d": 2, "sigma": 0.1, "theta": THETA}),
    (single_layer.random_theta, {"d": 3, "generator": GENERATOR, "dtype": F64}),
    (single_layer.MergedLSA, MATRICES),
    (single_layer.MergedLSA(**MATRICES).forward, PROMPT),
    (single_layer.FactoredLSA, FACTORS),
    (single_layer.FactoredLSA(**FACTORS).merged, {}),
    (single_layer.FactoredLSA(**FACTORS).forward, PROMPT),
    (single_layer.QueryLSA, MATRICES),
    (single_layer.QueryLSA(**MATRICES).forward, PROMPT),
    (single_layer.QueryLSA(**MATRICES).preconditioner, {}),
    (single_layer.QueryLSA(**MATRICES).full_matrices, {}),
    (
        config.TransformerConfig,
        {
            **{"reads": "elements", "layers": ("softmax", "mesa"), "n": 3, "width": 8, "heads": 2},
            **{"key_size": 4, "mlp": 5, "activation": "relu", "biases": True, "layer_norm": True},
            **{"final_norm": True, "positions": "learned", "max_length": 9, "unit_keys": True},
            **{"clip": 2.0, "init_std": 0.1, "fused": True},
        },
    ),
    (config.TransformerConfig.gpt, GPT_SIZES),
    (config.TransformerConfig.constructed, {"layers": ("softmax", "mesa"), "n": 3}),
    (config.TransformerConfig.elements, {"layers": ("softmax", "mesa")}),
    (blocks.empty_linear, {"inputs": 2, "outputs": 3, "bias": True}),
    (blocks.MLP, {"width": 4, "hidden": 3, "activation": "relu", "biases": True}),
    (BLOCK.mlp.forward, {"tokens": STREAM}),
    (
        blocks.Block,
        {"attention": BLOCK.attention, "width": 8, "mlp": BLOCK.mlp, "layer_norm": True},
    ),
    (BLOCK.forward, {"stream": STREAM, "tape": tape.Tape()}),
    (BLOCK.activations, {}),
    (
        blocks.draw_weights,
        {"model": transformer.Transformer(RAW).double(), "init_std": 0.1, "generator": GENERATOR},
    ),
    (transformer.Transformer, {"config": RAW, "generator": GENERATOR}),
    (positional(SOFTMAX.forward, "states"), {"states": STATES}),
    (positional(LINEAR.forward, "states"), {"states": STATES}),
    (positional(NET.forward, "xs", "ys"), {"xs": PROMPT["xs"], "ys": PROMPT["ys"]}),
    (NET.predict_query, PROMPT),
    (
        positional(SOFTMAX.run_with_cache, "states"),
        {
            "states": STATES,
            "patch": PATCH,
            "names": ("embed",),
            "stop_at_layer": 1,
        },
    ),
    (
        positional(SOFTMAX.run_with_patch, "states"),
        {"states": STATES, "patch": PATCH},
    ),
    (positional(SOFTMAX.streams, "states"), {"states": STATES}),
    (positional(SOFTMAX.checked, "states"), {"states": STATES}),
    (SOFTMAX.activations, {}),
    (SOFTMAX.replace_layer, {"index": 1, "layer": torch.nn.Identity()}),
    (
        positional(transformer.model_tokens, "config", "states"),
        {"config": SEQUENCE, "states": STATES},
    ),
]


def full_name(function) -> str:
    """Return the module and the qualified name of a function, a class or a bound method."""
    return f"{function.__module__}.{function.__qualname__}"


CALLS = [*_TASKS, *_LAYERS, *_MODELS]
