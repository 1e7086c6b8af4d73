"""One training step of each reading of LICO over one of cross-entropy alone."""

from collections.abc import Iterator

from lico.benchmarks.cases import Case, batch_of, method_of, training_step
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import Way, compared, interleaved

WAYS = {
    f"{reading}-{precision}": ["method=lico", f"reading={reading}", f"text.precision={precision}"]
    for reading in ("repro", "converged", "authors")
    for precision in ("float32", "bfloat16")
}
CASES = [Case(224), Case(64)]
MORE_CASES = [Case(224, 64, 100), Case(224, 32, 100), Case(224, 64, 50), Case(64, 64, 100)]


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Every reading and precision at each size."""
    for case in CASES + (MORE_CASES if setting.full else []):
        batch = batch_of(case, setting.device)
        steps: dict[str, Way] = {
            name: training_step(
                method_of(case.config("run.device=auto", *overrides), case, setting.device), batch
            )
            for name, overrides in ({"baseline": ["method=ce"]} | WAYS).items()
        }
        seconds = interleaved(steps, setting)
        for name in WAYS:
            words = f"LICO step, {name}", "cross-entropy step, channels last"
            yield compared(f"step/{case.name}/{name}", seconds, name, "baseline", words)
