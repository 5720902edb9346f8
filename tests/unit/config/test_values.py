"""Each rule for a single value: what is said of a wrong one, and what is allowed to pass."""

from collections.abc import Callable

import pytest

from fleet_agent.config.provisioning import Provisioning
from fleet_agent.config.sources import FromCommand
from support.configurations import Folder

ValueProblem = Callable[[str], str]


def words(line: str) -> str:
    """A problem without its place."""
    return line.partition(": ")[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example/", "is a URL; only a host name is expected (write endpoint: a.example)"),
        ("mqtts://me@a.example:8883", "is a URL; only a host name is expected (write endpoint: a.example)"),
        ("a.example:8883", "contains a port (write endpoint: a.example and port: 8883)"),
        ("a.example/mqtt", "contains a path (write endpoint: a.example)"),
        ("a.example.", "begins or ends with a space or a dot (write endpoint: a.example)"),
        ('" a.example\\r"', "begins or ends with a space or a dot (write endpoint: a.example)"),
        ('" a example"', "is not a host name (take it from"),
        ('"."', "is not a host name (take it from"),
        ('"a example"', "is not a host name (take it from"),
        ("-a.example", "is not a host name (take it from"),
        ('""', "is not a host name (take it from"),
        ("1:2:3:4", "is 1:2:3:4, which YAML reads as a number"),
        ("fe80:::1", "is neither a host name nor an address"),
        (
            "c1.credentials.iot.eu-west-1.amazonaws.com",
            "is the credential provider's endpoint, which does not speak MQTT (take",
        ),
    ],
)  # fmt: skip
def test_a_wrong_endpoint(folder: Folder, text: str, expected: str) -> None:
    (line,) = folder.problems(f"endpoint: {text}\n")
    assert words(line).startswith(f"endpoint: {expected}")


GOOD_ENDPOINTS = [
    "localhost",
    "a1-ats.iot.eu-west-1.amazonaws.com",
    "192.0.2.1",
    '"::1"',
]


@pytest.mark.parametrize("text", GOOD_ENDPOINTS)
def test_a_good_endpoint(folder: Folder, text: str) -> None:
    assert folder.load(f"endpoint: {text}\n").endpoint == text.strip('"')


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("port: 0", "port: is 0, which is out of range: 1 to 65535"),
        ("port: 65536", "port: is 65536, which is out of range: 1 to 65535"),
        ('port: "8883"', 'port: is "8883"; a whole number is expected (remove the quotes)'),
        ("port: 0x22B3", "port: is 0x22B3; a plain decimal number is expected"),
        ("port: 08_883", 'port: is "08_883"; a whole number is expected'),
        ("port: 021263", "port: is 021263; a plain decimal number is expected"),
        ("port: 99999999999999999999999", "port: is 99999999999999999999999; a plain decimal number is expected"),
        ("port: 8883.0", "port: is 8883.0, which YAML reads as a number; a whole number is expected"),
        ("port: yes", "port: is yes, which YAML reads as a boolean; a whole number is expected"),
        ("port: [1]", "port: is a list; a whole number is expected"),
        ("port: null", "port: is empty; a whole number is expected"),
    ],
)  # fmt: skip
def test_a_wrong_port(value_problem: ValueProblem, line: str, expected: str) -> None:
    assert words(value_problem(line)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proxy.example.com:3128", "is not of the form http://host:port"),
        ("https://proxy.example.com:3128", "is not of the form http://host:port"),
        ("http://proxy.example.com", "is not of the form http://host:port"),
        ("http://proxy.example.com:0", "has the invalid port 0"),
        ("http://proxy.example.com:70000", "has the invalid port 70000"),
        ("http://a b:3128", "is not a host name"),
        ("http://[::zz]:3128", "is neither a host name nor an address"),
    ],
)
def test_a_wrong_proxy(value_problem: ValueProblem, text: str, expected: str) -> None:
    assert words(value_problem(f"proxy: '{text}'")).startswith(f"proxy: {expected}")


@pytest.mark.parametrize("text", ["http://p.example:3128", "http://p:80/", "http://[::1]:3128"])
def test_a_good_proxy(folder: Folder, text: str) -> None:
    assert folder.load(f"endpoint: a.example\nproxy: {text}\n").proxy == text


def test_the_password_of_a_proxy_is_not_repeated(value_problem: ValueProblem) -> None:
    line = value_problem("proxy: http://user:hunter2@p.example:3128")
    assert "contains a user or a password" in line
    assert "hunter2" not in line


def test_a_private_key_pasted_into_the_file_is_not_repeated(folder: Folder) -> None:
    pem = "-----BEGIN EC PRIVATE KEY-----\n    MHcCAQEEIA\n    -----END EC PRIVATE KEY-----"
    text = f"endpoint: a.example\nclaim:\n  certificate: x\n  private_key: |\n    {pem}\n"
    (line,) = folder.problems(text)
    assert "contains the text itself; the path of a file is expected" in line
    assert "MHcC" not in line


def test_a_pem_block_where_a_name_is_wanted_is_not_repeated(value_problem: ValueProblem) -> None:
    line = value_problem('provisioning: {template: t, method: "-----BEGIN KEY----- MHcC"}')
    assert "MHcC" not in line


@pytest.mark.parametrize("name", ["a", "fleet-v1", "A_9", "x" * 36])
def test_a_good_template_name(folder: Folder, name: str) -> None:
    settings = folder.load(f"endpoint: a.example\nprovisioning: {{template: {name}}}\n")
    assert settings.provisioning == Provisioning(template=name)


@pytest.mark.parametrize("name", ["''", "x" * 37, "a.b", "a/b", "'a\n\n'", "ä"])
def test_a_wrong_template_name(value_problem: ValueProblem, name: str) -> None:
    assert "is not a template name" in value_problem(f"provisioning: {{template: {name}}}")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("method", "CSR", 'is "CSR"; csr or keys is expected'),
        ("method", "kyes", 'is "kyes"; csr or keys is expected (did you mean keys?)'),
        ("method", "yes", "is yes, which YAML reads as a boolean; csr or keys is expected"),
        (
            "key",
            "{type: p256}",
            'is "p256"; ec-p256 or rsa-2048 is expected (did you mean ec-p256?)',
        ),
        (
            "key",
            "ec-p256",
            'is "ec-p256"; a mapping is expected (keys: type, store, module, token, label, pin_file)',
        ),
        ("spread", "60", 'is 60, a number without a unit (write the unit, for example "60s")'),
        ("spread", "1.5", 'is 1.5, a number without a unit (write the unit, for example "1.5s")'),
        ("spread", "10 m", 'is "10 m", which is not a duration'),
        ("spread", "30m1h", 'is "30m1h", which is not a duration'),
        ("spread", "8d", "is 8d, which is out of range: 0s to 7d"),
        ("spread", "[1s]", "is a list; a duration is expected"),
        ("spread", "yes", "is yes, which YAML reads as a boolean; a duration is expected"),
    ],
)
def test_a_wrong_way_of_provisioning(
    value_problem: ValueProblem, key: str, value: str, expected: str
) -> None:
    assert expected in value_problem(f"provisioning: {{template: t, {key}: {value}}}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no", 'A: is no, which YAML reads as a boolean; a string is expected (quote it: "no")'),
        (
            "0123",
            'A: is 0123, which YAML reads as a number; a string is expected (quote it: "0123")',
        ),
        (
            "2026-01-02",
            "A: is 2026-01-02, which YAML reads as a date or a tagged value; a string is expected",
        ),
        (
            "1.10",
            'A: is 1.10, which YAML reads as a number; a string is expected (quote it: "1.10")',
        ),
        ("", "A: is empty; a string is expected"),
        ("[a]", "A: is a list; a string is expected"),
        ('"a\\tb"', "A: contains a control character (U+0009)"),
        ('"a\\nb"', "A: has more than one line"),
        ("{}", "A: is an empty mapping (one of: device_tree, dmi, file,"),
        ("{dim: x}", "A.dim: is not a known source (did you mean dmi?)"),
        ("{deviceTree: x}", "A.deviceTree: is not a known source (did you mean device_tree?)"),
        ("{dmi: x, mac: auto}", "A: has dmi and mac, which exclude each other (keep one"),
        ("{mac: auto, tmeout: 1s}", "A.tmeout: is an unknown key (known keys: mac)"),
        ("{machine_id: raw}", 'A.machine_id: is "raw"; app is expected'),
        ("{dmi: ../x}", "A.dmi: is not a field of /sys/class/dmi/id"),
        ("{device_tree: ../x}", "A.device_tree: is not a property of the device tree"),
        ("{device_tree: /x}", "A.device_tree: is not a property of the device tree"),
        ("{mac: eth0/x}", "A.mac: is not an interface name"),
        ("{mac: ..}", "A.mac: is not an interface name"),
        ("{env: $LINE}", "A.env: is not the name of an environment variable"),
        ("{file: ~/x}", 'A.file: begins with "~", which is not expanded'),
        ('{file: ""}', "A.file: is not a path"),
        ("{first_of: []}", "A.first_of: has 0 entries; 1 to 16 are allowed"),
        ("{first_of: {mac: auto}}", "A.first_of: is a mapping; a list is expected"),
        (
            "{first_of: [{mac: 1}]}",
            "A.first_of[0].mac: is 1, which YAML reads as a number; a string is expected",
        ),
        ("{command: cat /x}", 'A.command: is "cat /x"; a list is expected'),
        ("{command: []}", "A.command: has 0 entries; 1 to 64 are allowed"),
        ("{command: [cat /x]}", "A.command[0]: contains white space, but no shell splits it"),
        ("{command: [bin/x]}", "A.command[0]: is a relative path"),
        ('{command: [""]}', "A.command[0]: is empty, a program's name is expected"),
        ('{command: [a, "b\\0"]}', "A.command[1]: contains a NUL character"),
        (
            "{command: [a, 1]}",
            "A.command[1]: is 1, which YAML reads as a number; a string is expected",
        ),
        ("{command: [a], timeout: 1h}", "A.timeout: is 1h, which is out of range: 100ms to 5m"),
    ],
)
def test_a_wrong_parameter(value_problem: ValueProblem, value: str, expected: str) -> None:
    line = value_problem(f"provisioning:\n  template: t\n  parameters:\n    A: {value}")
    assert f"provisioning.parameters.{expected}" in line


def test_a_parameters_value_is_too_long(value_problem: ValueProblem) -> None:
    line = value_problem(f"provisioning: {{template: t, parameters: {{A: {'x' * 4097}}}}}")
    assert "has 4097 characters; AWS IoT allows 4096" in line
    assert len(line) < 200


@pytest.mark.parametrize(
    ("name", "expected"), [("''", "is not a parameter name"), ('"a\\u0001"', "U+0001")]
)
def test_a_wrong_parameter_name(value_problem: ValueProblem, name: str, expected: str) -> None:
    line = value_problem(f"provisioning: {{template: t, parameters: {{{name}: x}}}}")
    assert expected in line


def test_a_command_with_all_it_may_have(folder: Folder) -> None:
    text = "{template: t, parameters: {A: {command: [/bin/sh, -c, 'a | b'], timeout: 100ms}}}"
    provisioning = folder.load(f"endpoint: a.example\nprovisioning: {text}\n").provisioning
    assert provisioning
    wanted = FromCommand(command=("/bin/sh", "-c", "a | b"), timeout=0.1)
    assert provisioning.parameters == {"A": wanted}


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("dt/+/x", 'has the wildcard "+": a message goes to one topic'),
        ("dt/#", 'has the wildcard "#": a message goes to one topic'),
        ("dt/{a b}", "has the invalid placeholder {a b} (known are {thing}, {certificate_id}, {source}, "),
        ("dt/{thing", "contains a brace that does not belong to a placeholder"),
        ("dt/{}", "has the invalid placeholder {}"),
        ("a/b/c/d/e/f/g/h/i", "has 8 slashes; AWS IoT allows 7"),
        ("é" * 129, "has 258 bytes; AWS IoT allows 256"),
        ("", "is empty"),
        ("a\\0b", "contains a control character (U+0000)"),
        ("$aws/rules/", "is empty"),
    ],
)  # fmt: skip
def test_a_wrong_topic(value_problem: ValueProblem, topic: str, expected: str) -> None:
    assert f"telemetry.topic: {expected}" in value_problem(f'telemetry: {{topic: "{topic}"}}')


GOOD_TOPICS = [
    "a",
    "é" * 128,
    "a/b/c/d/e/f/g/h",
    "$aws/rules/my_rule/a/b/c/d/e/f/g/h",
    "{thing}/{source}/{certificate_id}",
]


@pytest.mark.parametrize("topic", GOOD_TOPICS)
def test_a_good_topic(folder: Folder, topic: str) -> None:
    text = f'endpoint: a.example\ntelemetry: {{topic: "{topic}"}}\n'
    assert folder.load(text).telemetry.topic == topic


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("a/#/b", 'has "#" where it cannot be'),
        ("a#", 'has "#" where it cannot be'),
        ("a/b+", 'has "+" where it cannot be'),
        ("cmd/{-}", "has the invalid placeholder {-} (known are {thing}, {certificate_id}, {source}, "),
        ("a/b/c/d/e/f/g/h/#", "has 8 slashes; AWS IoT allows 7"),
        ("$share/g", "is not a shared subscription"),
        ("$share//a", "is not a shared subscription"),
        ("$share/+/a", "is not a shared subscription"),
        ("$share/g/", "is empty"),
    ],
)  # fmt: skip
def test_a_wrong_filter(value_problem: ValueProblem, topic: str, expected: str) -> None:
    line = value_problem(f'subscriptions: [{{topic: "{topic}"}}]')
    assert f"subscriptions[0].topic: {expected}" in line


GOOD_FILTERS = [
    "#",
    "+",
    "a/+/b/#",
    "+/+",
    "$share/g/a/b/c/d/e/f/g/#",
    "$aws/things/{thing}/jobs/notify",
]


@pytest.mark.parametrize("topic", GOOD_FILTERS)
def test_a_good_filter(folder: Folder, topic: str) -> None:
    text = f'endpoint: a.example\nsubscriptions: [{{topic: "{topic}"}}]\n'
    assert folder.load(text).subscriptions[0].topic == topic


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("subscriptions: [{topic: a, qos: 2}]", "[0].qos: is 2; 0 or 1 is expected"),
        ('subscriptions: [{topic: a, qos: "1"}]', '[0].qos: is "1"; 0 or 1 is expected'),
        ('subscriptions: [{topic: a, log: "yes"}]', '[0].log: is "yes"; true or false is expected'),
        ("subscriptions: {topic: a}", "subscriptions: is a mapping; a list is expected"),
        ("subscriptions: [a]", '[0]: is "a"; a mapping is expected (keys: topic, qos, log, name, '),
        ("subscriptions: [{}]", '[0].topic: is missing (write, for example, topic: "cmd/{thing}/#")'),
        (f"subscriptions: [{'{topic: a},' * 51}]", "has 51 entries; 0 to 50 are allowed"),
        ("telemetry: {sources: [{system: {interval: 10ms}}]}", "is 10ms, which is out of range: 1s to 7d"),
        ("telemetry: {sources: [{sytem: {}}]}", "sources[0].sytem: is not a known source (did you mean system?)"),
        ("state_dir: null", "state_dir: is empty; a string is expected"),
        ("state_dir: credential:x", "state_dir: cannot be a systemd credential (name a path)"),
        ("claim: {certificate: a, private_key: 'credential:'}", "private_key: does not name a systemd credential"),
        ("claim: {certificate: a, private_key: 'credential:../k'}", "private_key: does not name a systemd credential"),
        ("claim: {certificate: a, private_key: 'pkcs11:token=x'}", "private_key: lacks token or object"),
        ("claim: {certificate: a, private_key: 'pkcs11:token=x;object=y?pin-value=1'}", "key: contains the PIN"),
        ("claim: {certificate: a, private_key: 'pkcs11:token=x;object=y;slot-id=1'}", "attribute 'slot-id'"),
        ("claim: {certificate: 'pkcs11:token=x;object=y', private_key: a}",
         "certificate: cannot be in a hardware token"),
        (r'provisioning: {template: t, key: {store: pkcs11, token: "\ud83d"}}',
         "token: contains something that is not UTF-8"),
        ("provisioning: {template: t, key: {store: pkcs11}}",
         "key: is in a hardware token and lacks module, token, pin_file"),
        ("provisioning: {template: t, key: {pin_file: a}}", "key: has pin_file, which a key in a file cannot have"),
        ("provisioning: {template: t, method: keys, key: {store: pkcs11, module: /m, token: t, pin_file: /p}}",
         "provisioning: lets AWS make the key"),
    ],
)  # fmt: skip
def test_a_wrong_value_elsewhere(value_problem: ValueProblem, line: str, expected: str) -> None:
    assert expected in value_problem(line)


def test_the_path_of_a_handlers_socket_has_a_length(folder: Folder) -> None:
    fits = "/" + "d" * 106
    text = 'endpoint: a.example\nhandlers: {{app: {{socket: {{path: "{path}"}}}}}}\n'
    assert folder.load(text.format(path=fits)).handlers["app"].socket is not None
    (line,) = folder.problems(text.format(path=f"{fits}d"))
    assert "is longer than the path of a socket may be (107 bytes)" in line
