"""What numba compiles is kept on disk where it can be."""

from pgolf.core import compiled as core


def test_where_numba_can_keep_nothing_on_disk_it_compiles_without(monkeypatch):
    kept = []

    def njit(signature, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'f': no locator available for file '<string>'")
        kept.append((signature, options))
        return lambda function: function

    monkeypatch.setattr(core, "njit", njit)
    assert core.compiled("int64(int64)")(abs) is abs
    assert kept == [("int64(int64)", {"nogil": True})]
