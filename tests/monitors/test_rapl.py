"""RAPL over a fake powercap tree."""

from pathlib import Path

import pytest

from wattrack.errors import MonitorError
from wattrack.monitors.rapl import RaplMonitor, readable

RANGE_UJ = 1_000_000


def zone(root: Path, folder: str, name: str, energy_uj: int = 0) -> Path:
    (root / folder).mkdir(parents=True)
    (root / folder / "name").write_text(f"{name}\n")
    (root / folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (root / folder / "energy_uj").write_text(f"{energy_uj}\n")
    return root / folder / "energy_uj"


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Path]:
    """Two packages with their sub-domains, the same package again over MMIO, and the platform around them."""
    (tmp_path / "intel-rapl").mkdir()
    return {
        "package-0": zone(tmp_path, "intel-rapl:0", "package-0"),
        "core": zone(tmp_path, "intel-rapl:0:0", "core"),
        "dram-0": zone(tmp_path, "intel-rapl:0:1", "dram"),
        "package-1": zone(tmp_path, "intel-rapl:1", "package-1"),
        "psys": zone(tmp_path, "intel-rapl:2", "psys"),
        "mmio": zone(tmp_path, "intel-rapl-mmio:0", "package-0"),
    }


def opened(root: Path) -> RaplMonitor:
    monitor = RaplMonitor(str(root))
    monitor.open()
    return monitor


def test_packages_and_dram_are_separate_parts_and_nothing_counts_twice(tree: dict[str, Path], tmp_path: Path) -> None:
    monitor = opened(tmp_path)
    state = monitor.begin()
    for counter in tree.values():
        counter.write_text("500000")
    parts, peaks = monitor.end(state)
    assert peaks == {}
    assert (parts["cpu"].joules, parts["cpu"].source) == (1.0, "measured")
    assert (parts["dram"].joules, parts["dram"].source) == (0.5, "measured")
    assert "short" in parts["cpu"].detail
    assert {k: e.joules for k, e in monitor.energy_since(state).items()} == {"cpu": 1.0, "dram": 0.5}
    assert "package-1" in monitor.facts()["rapl.domains"]


def test_wraps_inside_a_window_are_all_counted_when_sampled(tree: dict[str, Path], tmp_path: Path) -> None:
    monitor = opened(tmp_path)
    state = monitor.begin()
    for value in (600_000, 100_000, 700_000, 200_000):
        tree["package-0"].write_text(str(value))
        monitor.sample()
    parts, _ = monitor.end(state)
    assert parts["cpu"].joules == pytest.approx(2.2)


@pytest.mark.parametrize("limit_w", [None, 15], ids=["no limit stated", "15 W"])
def test_a_restarted_counter_is_no_wrap_and_costs_its_window_only(tmp_path: Path, limit_w: int | None) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000_000)
    (counter.parent / "max_energy_range_uj").write_text("262143328850\n")
    if limit_w is not None:
        (counter.parent / "constraint_0_power_limit_uw").write_text(f"{limit_w * 1_000_000}\n")
    monitor = opened(tmp_path)
    monitor.sample()
    job = monitor.begin()
    counter.write_text("1000000")  # since zero; as a wrap it were 253 kJ at once
    assert monitor.sample() == {}
    for energy in (monitor.energy_since(job)["cpu"], monitor.end(job)[0]["cpu"]):
        assert (energy.joules, energy.source) == (None, "unavailable")
        assert "intel-rapl:0/energy_uj restarted" in energy.detail and "2.53e+05 J" in energy.detail
    after = monitor.begin()
    counter.write_text("1500000")
    assert monitor.end(after)[0]["cpu"].joules == 0.5, "a window after the restart is whole"
    assert monitor.end(job)[0]["cpu"].joules is None


def test_a_wrap_at_full_power_is_counted(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 262_143_000_000)
    (counter.parent / "max_energy_range_uj").write_text("262143328850\n")
    (counter.parent / "constraint_0_power_limit_uw").write_text("15000000\n")
    monitor = opened(tmp_path)
    state = monitor.begin()
    counter.write_text("5000000")
    assert monitor.end(state)[0]["cpu"].joules == pytest.approx(5.32885)


def test_sampled_power_is_the_mean_since_the_last_sample(tree: dict[str, Path], tmp_path: Path) -> None:
    monitor = opened(tmp_path)
    assert monitor.sample() == {}
    tree["package-0"].write_text("500000")
    values = monitor.sample()
    assert values["system/cpu_power_usage_watts"] > 0.0
    assert values["system/dram_power_usage_watts"] == 0.0


def test_a_counter_that_stands_still_is_unavailable_not_zero(tree: dict[str, Path], tmp_path: Path) -> None:
    monitor = opened(tmp_path)
    parts, _ = monitor.end(monitor.begin())
    assert [(e.joules, e.source) for e in parts.values()] == [(None, "unavailable")] * 2
    assert "did not move" in parts["cpu"].detail


def test_a_machine_without_dram_counters_says_so(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    monitor = opened(tmp_path)
    parts, _ = monitor.end(monitor.begin())
    assert parts["dram"].detail == "no DRAM domain among the powercap zones"


def test_a_counter_that_vanishes_makes_its_part_unavailable(tree: dict[str, Path], tmp_path: Path) -> None:
    monitor = opened(tmp_path)
    state = monitor.begin()
    tree["package-1"].unlink()
    tree["dram-0"].write_text("300000")
    parts, _ = monitor.end(state)
    assert parts["cpu"].joules is None and "intel-rapl:1" in parts["cpu"].detail
    assert parts["dram"].joules == 0.3
    assert {k: e.joules for k, e in monitor.energy_since(state).items()} == {"cpu": None, "dram": 0.3}


def test_without_permission_the_refusal_names_file_and_remedy(
    tree: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text

    def denied(path: Path, *args: object, **kwargs: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(MonitorError, match=r"intel-rapl:0/energy_uj is readable by root only.*chmod a\+r"):
        opened(tmp_path)
    assert not readable(str(tmp_path))


def test_absence_is_refused_with_the_place_searched(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match=f"no RAPL package counters under {tmp_path}"):
        opened(tmp_path)
    assert not readable(str(tmp_path))


def test_close_is_idempotent(tree: dict[str, Path], tmp_path: Path) -> None:
    monitor = opened(tmp_path)
    monitor.close()
    monitor.close()
    assert monitor.facts() == {}


def test_the_highest_limit_of_each_package_adds_up(tree: dict[str, Path], tmp_path: Path) -> None:
    for name, limits_w in (("package-0", (125, 150)), ("package-1", (125, 0)), ("psys", (900,))):
        for index, watts in enumerate(limits_w):
            (tree[name].parent / f"constraint_{index}_power_limit_uw").write_text(f"{watts * 1_000_000}\n")
    assert opened(tmp_path).facts()["rapl.power_limit_w"] == "275"
    (tree["package-1"].parent / "constraint_0_power_limit_uw").write_text("none")
    assert "rapl.power_limit_w" not in opened(tmp_path).facts(), "one package's limit is not the limit of two"
