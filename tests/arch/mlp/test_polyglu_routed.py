"""Routed activations: legal when static or with the running mean, illegal as published; noise in training only."""

import re

import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.mlp.polyglu_routed import Router, gumbel
from pgolf.artifact import container
from pgolf.config.compose import node
from pgolf.eval.from_artifact import evaluation_from
from pgolf.proof.certificate import certify
from tests.arch.causality import assert_causal, gradient_leak, one_step, perturbation_leak
from tests.arch.one_graph import assert_one_graph
from tests.arch.option_claims import (
    assert_option_is_sound,
    gradients_after_one_step,
    parameters,
    record_model,
)
from tests.helpers import ids, randomise, tiny_model
from tests.proof.making import context_of, write_artifact

WORDS = ("arch/mlp=polyglu_routed",)
FORMS = ("static", "causal_mean", "sequence_mean")


def routed(form, *words):
    return tiny_model(*WORDS, f"arch.mlp.routing={form}", *words)


def router(form="causal_mean"):
    router = routed(form).controls["0_0"].activation
    with torch.no_grad():
        for parameter in router.parameters():
            parameter.normal_()
    return router


def test_static_routing_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS)


def test_the_running_mean_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS, "arch.mlp.routing=causal_mean")


def test_the_published_pooled_form_fails_both_causality_tests():
    with pytest.raises(AssertionError, match="gradient flows from a later token"):
        assert_causal(routed("sequence_mean"))
    model = routed("sequence_mean")
    randomise(model)
    assert gradient_leak(model) > 0 and perturbation_leak(model) > 1e-4


def certified(form, folder):
    """The certificate of a small artifact with noisy weights whose MLPs are routed so."""
    sizes = {"layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "mlp_hidden": 64}
    words = [*WORDS, f"arch.mlp.routing={form}", *(f"arch.{name}={size}" for name, size in sizes.items())]
    path = write_artifact(folder / "a.pgolf", arch=node("arch", "baseline", words))
    return certify(context_of(evaluation_from(container.read(path))))


def test_the_certificate_fails_the_published_pooled_form_at_its_audit(tmp_path):
    certificate = certified("sequence_mean", tmp_path)
    assert not certificate.passed
    (failed,) = [text for text in certificate.failed if text.startswith("(b)")]
    assert re.match(r"\(b\) prefix-only audit: .* are not those of a process that sees no future; position", failed)


@pytest.mark.parametrize("form", ["static", "causal_mean"])
def test_the_certificate_passes_the_causal_forms(form, tmp_path):
    certificate = certified(form, tmp_path)
    assert certificate.passed, certificate.failed


@pytest.mark.parametrize("form", ["causal_mean", "sequence_mean"])
def test_pooled_routing_has_the_published_count(form):
    model = record_model(*WORDS, f"arch.mlp.routing={form}")
    assert parameters(model.controls["0_0"].activation) == 14_424
    assert parameters(model) - parameters(record_model()) == 158_664


def test_static_routing_has_four_logits_per_unit_and_no_router():
    assert parameters(record_model(*WORDS).controls["0_0"].activation) == 4 * 1536


@pytest.mark.parametrize("form", FORMS)
def test_routing_parameters_are_scalars_kept_in_fp16(form):
    specs = routed(form).param_specs()
    own = [spec for name, spec in specs.items() if ".activation." in name]
    assert own and all((spec.group, spec.storage) == ("scalar_no_decay", "keep_fp16") for spec in own)


@pytest.mark.parametrize("form", FORMS)
def test_outside_training_it_is_the_written_out_mixture_at_the_last_temperature(form):
    own, h, x = router(form).eval(), torch.randn(2, 7, 64), torch.randn(2, 7, 32)
    logits = own.alpha.expand(2, 7, 64, 4)
    if form != "static":
        count = torch.arange(1, 8).view(1, 7, 1)
        mean = x.cumsum(1) / count if form == "causal_mean" else x.mean(1, keepdim=True).expand_as(x)
        hidden = F.relu(mean @ own.hidden.weight.T + own.hidden.bias)
        logits = logits + (own.beta * (hidden @ own.out.weight.T + own.out.bias))[:, :, None, :]
    weights = (logits / 0.1).softmax(-1)
    outputs = torch.stack([F.relu(h) ** 2, h.tanh(), F.silu(h), F.gelu(h)], -1)
    torch.testing.assert_close(own(h, x), (weights * outputs).sum(-1), rtol=1e-4, atol=1e-5)


def test_at_its_start_all_four_activations_weigh_a_quarter():
    own, h = routed("static").controls["0_0"].activation.eval(), torch.randn(2, 7, 64)
    mean = (F.relu(h) ** 2 + h.tanh() + F.silu(h) + F.gelu(h)) / 4
    torch.testing.assert_close(own(h, torch.randn(2, 7, 32)), mean)


@pytest.mark.parametrize("form", FORMS)
def test_noise_is_there_in_training_only(form):
    own, h, x = router(form), torch.randn(2, 7, 64), torch.randn(2, 7, 32)
    own.train()
    assert not torch.equal(own(h, x), own(h, x))
    own.eval()
    assert torch.equal(own(h, x), own(h, x))


def test_training_noise_is_drawn_per_sequence_and_unit_in_fp32():
    own = router("static").train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = own.log_weights(torch.randn(3, 5, 32, dtype=torch.bfloat16))
    assert all(w.shape == (3, 1, 64) and w.dtype == torch.float32 for w in weights)


def test_noise_is_finite_even_where_the_uniform_numbers_are_0_or_1(monkeypatch):
    ends = torch.tensor([0.0, 1.0])
    monkeypatch.setattr(torch, "rand", lambda *shape, **named: ends)
    assert gumbel((2,), torch.device("cpu")).isfinite().all()


def test_temperature_falls_linearly_with_progress_and_is_not_stored():
    model = routed("static")
    own: Router = model.controls["0_0"].activation
    assert own.tau == 1.0
    found = []
    for fraction in (0.0, 0.5, 1.0, 1.2):
        own.at_progress(fraction)
        found.append(own.tau.item())
    assert found == pytest.approx([1.0, 0.55, 0.1, 0.1])
    assert not any("tau" in name for name in model.state_dict())


def test_a_fresh_evaluation_model_scores_as_the_trained_one_does():
    model = routed("static")
    one_step(model)
    for module in model.modules():
        if hasattr(module, "at_progress"):
            module.at_progress(0.3)
    fresh = routed("static")
    fresh.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh.eval().logits(ids()), model.eval().logits(ids()))


def test_a_new_temperature_reaches_a_compiled_model():
    model = routed("static", "arch.layers=2")
    randomise(model)
    with torch.no_grad():
        for controls in model.controls.values():
            controls.activation.alpha.normal_()
    torch._dynamo.reset()
    compiled = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
    losses = []
    for fraction in (0.0, 1.0):
        for controls in model.controls.values():
            controls.activation.at_progress(fraction)
        torch.manual_seed(0)
        losses.append(compiled(ids(), ids(seed=1)).item())
    assert losses[0] != losses[1]


def test_the_pooled_form_still_compiles_and_trains():
    assert_one_graph(routed("sequence_mean", "arch.layers=2"))
    assert all(g.isfinite().all() for g in gradients_after_one_step(routed("sequence_mean")).values())


@pytest.mark.parametrize("form", FORMS)
def test_routing_parameters_have_gradients_after_one_step(form):
    grads = gradients_after_one_step(routed(form))
    assert all(grad.any() for name, grad in grads.items() if ".activation." in name)


def test_visits_that_share_matrices_route_for_themselves():
    model = tiny_model(*WORDS, "arch/recurrence=shared")
    first, second = (model.controls[key].activation.alpha for key in ("2_0", "2_1"))
    assert first is not second
