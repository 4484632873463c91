"""Checkpoints of the three former model classes: every weight keeps its bits under a new name."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from former_runs import old_prompts, old_sequences
from safetensors.torch import save_file
from tiny_experiments import LINEAR_NAME, NAME, temporary_workplace  # noqa: F401
from tiny_raw_experiments import SOFTMAX, temporary_place  # noqa: F401

from icl_lib.experiments import checkpoint, conversion, named
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.named import get

OLD_FIELDS = {  # of the former configs; "layers" was a number for prompts
    "pairs": {"d": "n", "width": "width", "layers": None, "heads": "heads", "max_points": None},
    "constructed": {
        **{name: name for name in ("layers", "n", "heads", "key_size", "clip", "init_std")},
        "tokens": "reads",
    },
    "elements": {
        name: name
        for name in ("layers", "n", "width", "heads", "key_size", "mlp", "layer_norm")
        + ("unit_keys", "clip", "init_std")
    },
}


def packed_by_hand(model):
    """The old tensors of a prompt model, written without the conversion's tables."""
    old = {
        **{f"read_in.{kind}": getattr(model.embed, kind) for kind in ("weight", "bias")},
        **{f"read_out.{kind}": getattr(model.readout, kind) for kind in ("weight", "bias")},
        **{f"norm.{kind}": getattr(model.norm, kind) for kind in ("weight", "bias")},
        "positions.weight": model.positions,
    }
    for k, block in enumerate(model.blocks):
        layer = block.attention
        weights = [layer.w_q, layer.w_k, layer.w_v]
        old[f"blocks.{k}.attention.qkv.weight"] = torch.cat([w.flatten(0, 1) for w in weights])
        biases = [layer.b_q, layer.b_k, layer.b_v]
        old[f"blocks.{k}.attention.qkv.bias"] = torch.cat([b.flatten() for b in biases])
        old[f"blocks.{k}.attention.out.weight"] = torch.cat([*layer.p], dim=1)
        old[f"blocks.{k}.attention.out.bias"] = layer.b_p
        for kind in ("weight", "bias"):
            old[f"blocks.{k}.norm_attention.{kind}"] = getattr(block.attention_norm, kind)
            old[f"blocks.{k}.norm_mlp.{kind}"] = getattr(block.mlp_norm, kind)
            old[f"blocks.{k}.mlp.0.{kind}"] = getattr(block.mlp.up, kind)
            old[f"blocks.{k}.mlp.2.{kind}"] = getattr(block.mlp.down, kind)
    return old


def old_tensors(model):
    if model.config.reads == "pairs":
        return packed_by_hand(model)
    if model.config.reads == "constructed":
        return {k.replace("attention.", ""): v for k, v in model.state_dict().items()}
    ends = {"embed.weight": "embed", "readout.weight": "readout"}
    return {ends.get(k, k): v for k, v in model.state_dict().items()}


def old_configuration(name):
    run = get(name)
    model = json.loads(json.dumps(asdict(run.model)))
    fields = OLD_FIELDS[model["reads"]]
    old = {old: model[now] for old, now in fields.items() if now}
    if model["reads"] == "pairs":
        old |= {"layers": len(model["layers"]), "max_points": (model["max_length"] + 1) // 2}
    plain = old_prompts(run) if model["reads"] == "pairs" else old_sequences(run)
    return json.loads(json.dumps(plain)) | {"model": old}


def write_old(name, tensors=None, **configuration):
    """Write an untrained checkpoint as it was written before, with curves that must survive."""
    model = get(name).build_model()
    with torch.no_grad():
        for weight in model.parameters():
            weight += torch.linspace(0, 1, weight.numel()).view_as(weight)
    tensors = old_tensors(model) if tensors is None else tensors
    tensors = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    metadata = {
        "name": name,
        "configuration": old_configuration(name) | configuration,
        "metrics": {"loss": 0.5},
        "curves": {"steps": [0, 4]},
        "wall_seconds": 1.5,
    }
    metadata["content_sha256"] = checkpoint.content_sha256(tensors, metadata)
    path = named.path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"icl_lib": json.dumps(metadata)})
    return model, metadata, path


@pytest.mark.parametrize("name", [NAME, LINEAR_NAME, SOFTMAX.name])
class TestConvert:
    def test_every_weight_keeps_its_bits(self, workplace, place, name):
        model, metadata, path = write_old(name)
        with pytest.raises(ValueError, match="belongs to the configuration"):
            named.load(name)
        assert conversion.convert(path, get(name)) is True
        loaded, found = named.load(name)
        for key, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), key
        changed = {"configuration", "content_sha256"}
        assert {k: found[k] for k in set(found) - changed} == {
            k: metadata[k] for k in set(metadata) - changed
        }

    def test_twice_is_once(self, workplace, place, name):
        *_, path = write_old(name)
        conversion.convert(path, get(name))
        before = path.read_bytes()
        assert conversion.convert(path, get(name)) is False and path.read_bytes() == before

    def test_other_configurations_are_refused(self, workplace, place, name):
        *_, path = write_old(name, batch=5)
        before = path.read_bytes()
        with pytest.raises(ValueError, match=f"checkpoint .*{name}.* cannot be converted"):
            conversion.convert(path, get(name))
        assert path.read_bytes() == before

    def test_other_weights_are_refused(self, workplace, place, name):
        tensors = old_tensors(get(name).build_model())
        missing = sorted(tensors)[0]
        *_, path = write_old(name, {k: v for k, v in tensors.items() if k != missing})
        before = path.read_bytes()
        with pytest.raises(ValueError, match=f"checkpoint .*{name}.* converted: .*absent"):
            conversion.convert(path, get(name))
        assert path.read_bytes() == before


def test_the_command_goes_through_the_folder(workplace, place, capsys):
    for name in (NAME, LINEAR_NAME, SOFTMAX.name):
        write_old(name)
    write_old("tiny-fixed-n3-s1", batch=5)
    assert main(["convert"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count(": converted") == 3
    assert captured.err.startswith("tiny-fixed-n3-s1: checkpoint ")
    named.path_of("tiny-fixed-n3-s1").unlink()
    assert main(["convert"]) == 0
    assert capsys.readouterr().out.count("already as it should be") == 3
