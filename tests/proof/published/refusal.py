"""What the certificate says of an evaluation whose scorer and audited run in this process."""

from pgolf.proof.certificate import certify
from tests.proof.making import DOCUMENTS, context_of, pretend_audit, pretend_sealed, stream_of

# Long enough for a few chunks of adaptation, the last of which gains by what the first ones taught.
TEXT = [text[:110] for text in DOCUMENTS]


def judged(evaluation, places=60, text=TEXT):
    """(nats claimed, letters of the probes that refuse it, messages)."""
    tokens_N = stream_of(evaluation, text)
    sealed = pretend_sealed(evaluation, tokens_N)
    audit = pretend_audit(evaluation, tokens_N, sealed, places=places)
    certificate = certify(context_of(evaluation, text, sealed=sealed, audit=audit, tokens_N=tokens_N))
    failed = [probe for probe in certificate.probes if not probe.passed]
    return float(sealed.nll_nats_N.sum()), [probe.letter for probe in failed], [probe.message for probe in failed]
