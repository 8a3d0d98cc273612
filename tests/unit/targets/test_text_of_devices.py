"""What is read from the output of devices, of adb, of ssh and of ExecuTorch's runners."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.errors import RecipeError, TargetError
from llm_export.targets.adb_devices import devices_of, the_device
from llm_export.targets.facts import parse_facts, parse_reading
from llm_export.targets.observer import parse_observed
from llm_export.targets.prompt import prompt_of
from llm_export.targets.ssh import SshAddress
from llm_export.targets.ssh_failures import reason_of

PHONE = """\
system\tLinux
kernel\t5.15.123-android13
architecture\taarch64
logical_cpus\t8
maker\tsamsung
product\tSM-S911B
soc_maker\tQTI
soc\tSM8550
release\tAndroid 16
features\tfp asimd asimddp i8mm
memory_kilobytes\t7601236
cpu:0:cpuinfo_max_freq\t2016000
cpu:1:cpuinfo_max_freq\t2016000
cpu:10:cpuinfo_max_freq\t3360000
cpu:2:cpuinfo_max_freq\t2803200
"""


def test_facts_of_a_phone() -> None:
    facts = parse_facts(PHONE)
    assert facts.product == "samsung SM-S911B"
    assert (facts.soc, facts.processor) == ("QTI SM8550", "QTI SM8550")
    assert facts.memory_bytes == 7601236 * 1024
    assert facts.max_hertz == (2_016_000_000, 2_016_000_000, 2_803_200_000, 3_360_000_000)
    assert facts.fast_cpus == 2
    assert parse_facts("architecture\tarmv7l\nlogical_cpus\t4\n").fast_cpus == 4
    assert parse_facts("").processor == ""


def test_a_reading() -> None:
    found = parse_reading(
        "zone:cpu-0-0\t61200\nzone:cpu-0-0\t63000\nzone:battery\t31\nzone:skin\t0\n"
        "zone:off\t-40000\nzone:bad\tnone\nload\t1.5 0.2 0.1 1/99 3\navailable_kilobytes\t1000\n"
        "cpu:0:scaling_governor\tschedutil\ncpu:0:scaling_cur_freq\t300000\n"
        "cpu:0:scaling_max_freq\t1500000\nbattery:temperature\t312\nbattery:level\t84\n"
        "battery:USB powered\ttrue\nthermal_status\t2\n"
    )
    assert found.celsius == {"cpu-0-0": 63.0, "battery": 31.0}
    assert found.hottest == 63.0
    assert (found.hertz, found.hertz_limit) == ((300_000_000,), (1_500_000_000,))
    assert found.battery == {"percent": 84.0, "celsius": 31.2, "plugged_in": 1.0}
    assert (found.load_average, found.thermal_status, found.governor) == (1.5, 2, "schedutil")
    assert found.available_bytes == 1_024_000


@settings(max_examples=25)
@given(st.text(max_size=80))
def test_any_output_is_read(text: str) -> None:
    parse_facts(text)
    assert parse_reading(text).hottest is None or "zone" in text


LISTING = """\
* daemon started successfully
List of devices attached
R5CT20    device usb:1-2 product:dm1q model:SM_S911B device:dm1q transport_id:1
0123456   unauthorized usb:1-3 transport_id:2
emulator-5554 offline transport_id:3
ABC       no permissions (missing udev rules? user is in the plugdev group); see [http://x] usb:1-4

"""


def test_the_devices_of_adb() -> None:
    devices = devices_of(LISTING)
    assert [(d.serial, d.state) for d in devices] == [
        ("R5CT20", "device"), ("0123456", "unauthorized"), ("emulator-5554", "offline"),
        ("ABC", "no permissions"),
    ]  # fmt: skip
    assert the_device(devices, "").serial == "R5CT20"
    assert devices[0].model == "SM_S911B"


@pytest.mark.parametrize(
    ("listing", "serial", "what", "fix"),
    [
        ("List of devices attached\n\n", "", "no device", "USB debugging"),
        (LISTING, "0123456", "is unauthorized", "accept this computer's key"),
        (LISTING, "emulator-5554", "is offline", "reconnect"),
        (LISTING, "ABC", "is no permissions", "udev"),
        (LISTING, "R5CT21", "no device 'R5CT21'", "did you mean 'R5CT20'"),
        (LISTING + "second device\n", "", "2 devices: R5CT20 (SM_S911B), second", "adb:R5CT20"),
    ],
)
def test_a_device_that_cannot_be_used(listing: str, serial: str, what: str, fix: str) -> None:
    with pytest.raises(TargetError, match=r"adb|device") as caught:
        the_device(devices_of(listing.replace("\n\nsecond", "\nsecond")), serial)
    assert what in caught.value.what
    assert fix in str(caught.value)
    assert caught.value.exit_code == 3


def test_addresses_of_ssh() -> None:
    assert SshAddress.parse("pi@raspberry.local:2222") == SshAddress("pi", "raspberry.local", 2222)
    assert SshAddress.parse("pi") == SshAddress(None, "pi", None)
    assert SshAddress.parse("::1") == SshAddress(None, "::1", None)
    assert SshAddress.parse("root@[fe80::1%eth0]:22") == SshAddress("root", "fe80::1%eth0", 22)
    assert SshAddress.parse("a@b").words() == ["--", "a@b"]


@pytest.mark.parametrize(
    "text",
    ["", "@host", "host:", "host:port", "-oProxyCommand=sh", "u@-x", "a b", "host:70000", "h;x",
     "host:0", "-l@host", "$(x)", "[::1", "h\n"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(RecipeError):
        SshAddress.parse(text)


@pytest.mark.parametrize(
    ("said", "what", "fix"),
    [
        ("Host key verification failed.", "not known yet", "ssh -p 2222 pi@h"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
         "another than before", "ssh-keygen -R '[h]:2222'"),
        ("pi@h: Permission denied (publickey).", "does not accept the login", "ssh-copy-id"),
        ("ssh: Could not resolve hostname h: Name", "no host h", "~/.ssh/config"),
        ("ssh: connect to host h port 22: Connection refused", "no ssh connection at port 2222",
         "ssh:pi@h:PORT"),
        ("ssh: connect to host h port 22: Connection timed out", "does not answer", "network"),
        ("kex_exchange_identification: reset\n", "failed: kex_exchange_identification", "try: ssh"),
        ("", "ssh says nothing", "try: ssh -p 2222 pi@h true"),
    ],
)  # fmt: skip
def test_failures_of_ssh(said: str, what: str, fix: str) -> None:
    found = reason_of(said, "h", 2222, "pi")
    assert what in found[0]
    assert fix in found[1]


OBSERVED = (
    'I 00:00:01 noise\nPyTorchObserver {"prompt_tokens":100,"generated_tokens":50,'
    '"model_load_start_ms":1000,"model_load_end_ms":1500,"inference_start_ms":2000,'
    '"inference_end_ms":5000,"prompt_eval_end_ms":3000,"first_token_ms":3010,'
    '"aggregate_sampling_time_ms":3,"SCALING_FACTOR_UNITS_PER_SECOND":1000}\n'
)


def test_the_statistics_of_a_runner() -> None:
    """The warm-up prints a line too, before."""
    found = parse_observed(OBSERVED.replace("5000", "9000") + OBSERVED)
    assert (found.prefill_rate, found.decode_rate) == (100.0, 25.0)
    assert (found.load_seconds, found.first_token_seconds) == pytest.approx((0.5, 1.01))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("PyTorchObserver", "Observer"), "no line"),
        (('"prompt_tokens":100,', ""), "cannot be read"),
        (('{"prompt', '["prompt'), "cannot be read"),
        (("5000", "3000"), "too short"),
        (('"generated_tokens":50', '"generated_tokens":0'), "0 generated"),
    ],
)
def test_statistics_that_say_nothing(change: tuple[str, str], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_observed(OBSERVED.replace(*change))


@settings(max_examples=25)
@given(length=st.integers(1, 600), per_word=st.integers(1, 5), start=st.integers(0, 2))
def test_a_prompt_has_its_length(length: int, per_word: int, start: int) -> None:
    def count(text: str) -> int:
        return start + per_word * text.count(" the") + text.replace(" the", "").count("a")

    found = count(prompt_of(length, count))
    assert found == length or length < start + per_word
