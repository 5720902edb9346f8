"""``fleet-agent import`` on configurations as the peers' own documentation has them."""

import json
from pathlib import Path

import yaml

from support.agent import run_command, state_dirs
from support.fleets import Fleet

DEVICE_CLIENT = {
    "endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com",
    "cert": "/etc/dc/claim.pem.crt",
    "key": "claim.pem.key",
    "root-ca": "/etc/dc/AmazonRootCA1.pem",
    "thing-name": "pump-7",
    "logging": {"level": "DEBUG", "type": "FILE", "file": "/var/log/dc.log"},
    "jobs": {"enabled": True, "handler-directory": ""},
    "tunneling": {"enabled": False},
    "device-defender": {"enabled": True, "interval": 300},
    "fleet-provisioning": {
        "enabled": True,
        "template-name": "fleet-v1",
        "template-parameters": '{"SerialNumber": "1", "Site": "North"}',
        "csr-file": "",
    },
    "samples": {
        "pub-sub": {
            "enabled": True,
            "publish-topic": "up",
            "publish-file": "",
            "subscribe-topic": "down/pump",
            "subscribe-file": "",
        }
    },
    "secure-element": {"enabled": True, "secure-element-pin": "geheim", "pkcs11-lib": "/x.so"},
    "brand-new-feature": {"volume": 11},
}

PROXY = {
    "http-proxy-enabled": True,
    "http-proxy-host": "10.0.0.140",
    "http-proxy-port": "9999",
    "http-proxy-auth-method": "UserNameAndPassword",
    "http-proxy-username": "otto",
    "http-proxy-password": "streng-geheim",
}

LITE = """
system: {privateKeyPath: "", certificateFilePath: "", rootPath: /var/lib/greengrass/, thingName: ""}
services:
  aws.greengrass.NucleusLite:
    configuration: {awsRegion: us-east-1, iotCredEndpoint: "", iotDataEndpoint: "", greengrassDataPlanePort: "8443"}
  aws.greengrass.fleet_provisioning:
    configuration:
      iotDataEndpoint: a1-ats.iot.us-east-1.amazonaws.com
      iotCredEndpoint: c1.credentials.iot.us-east-1.amazonaws.com
      rootCaPath: /path/to/AmazonRootCA1.pem
      claimKeyPath: path/to/private.pem.key
      claimCertPath: path/to/certificate.pem.crt
      csrCommonName: aws-greengrass-nucleus-lite
      templateName: GreengrassFleetProvisioningTemplate
      templateParams: {SerialNumber: a2_b9, Line: 7}
"""

PLUGIN = """
services:
  aws.greengrass.Nucleus: {version: 2.9.4, configuration: {mqtt: {port: 8883}}}
  com.example.Pump: {}
  aws.greengrass.FleetProvisioningByClaim:
    configuration:
      rootPath: /greengrass/v2
      awsRegion: us-west-2
      iotDataEndpoint: a1-ats.iot.us-west-2.amazonaws.com
      iotRoleAlias: Alias
      provisioningTemplate: Template
      claimCertificatePath: /greengrass/v2/claim.pem.crt
      claimCertificatePrivateKeyPath: /greengrass/v2/claim.private.pem.key
      rootCaPath: /greengrass/v2/AmazonRootCA1.pem
      mqttPort: 443
      proxyUrl: http://proxy.example.com:1100
      proxyPassword: pass@word1357
      templateParameters: {ThingName: Core, ThingGroupName: Group}
"""


def test_device_client_with_its_proxy_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "device-client.conf").write_text(json.dumps(DEVICE_CLIENT))
    (tmp_path / "http-proxy.conf").write_text(json.dumps(PROXY))
    done = run_command(
        "import", tmp_path / "device-client.conf", "--out", tmp_path / "config.yaml"
    )
    assert (done.status, done.stdout) == (0, "")
    written = (tmp_path / "config.yaml").read_text()
    assert yaml.safe_load(written) == {
        "endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        "ca_file": "/etc/dc/AmazonRootCA1.pem",
        "proxy": "http://10.0.0.140:9999",
        "claim": {
            "certificate": "/etc/dc/claim.pem.crt",
            "private_key": str(tmp_path / "claim.pem.key"),
        },
        "provisioning": {
            "template": "fleet-v1",
            "method": "keys",
            "parameters": {"SerialNumber": "1", "Site": "North"},
        },
        "subscriptions": [{"topic": "down/pump"}],
    }
    named = {line.split(": ")[1] for line in done.stderr.splitlines() if "no equivalent" in line}
    assert named == {
        *("thing-name", "logging", "jobs", "device-defender", "samples.pub-sub.publish-topic"),
        *("secure-element", "brand-new-feature.volume"),
        *("http-proxy-username", "http-proxy-password"),
    }
    assert "geheim" not in written + done.stderr
    assert all(f"#   {name}: " in written for name in named)
    assert "policy must then allow" in done.stderr  # the method that keeps the key here
    assert "every device would have the same" in done.stderr
    assert run_command("config", "check", "--config", tmp_path / "config.yaml").status == 0


def test_a_file_in_the_way_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "dc.conf").write_text(json.dumps(DEVICE_CLIENT))
    (tmp_path / "config.yaml").write_text("mine")
    words = ("import", tmp_path / "dc.conf", "--out", tmp_path / "config.yaml")
    refused = run_command(*words)
    assert refused.status == 73
    assert "--force" in refused.stderr
    assert (tmp_path / "config.yaml").read_text() == "mine"
    assert run_command(*words, "--force").status == 0
    assert (tmp_path / "config.yaml").stat().st_mode & 0o777 == 0o640


def test_device_client_that_does_not_provision_brings_its_own_certificate(tmp_path: Path) -> None:
    off = DEVICE_CLIENT | {"fleet-provisioning": {"enabled": False, "template-name": "t"}}
    (tmp_path / "dc.conf").write_text(json.dumps(off))
    done = run_command("import", tmp_path / "dc.conf", "--out", tmp_path / "config.yaml")
    assert done.status == 0
    settings = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert settings["identity"] == {
        "certificate": "/etc/dc/claim.pem.crt",
        "private_key": str(tmp_path / "claim.pem.key"),
        "thing_name": "pump-7",
    }
    assert not {"claim", "provisioning"} & set(settings)
    assert "let only one of the two connect" in done.stderr
    assert run_command("config", "check", "--config", tmp_path / "config.yaml").status == 0


def test_what_device_client_s_fleet_provisioning_got_is_its_identity(tmp_path: Path) -> None:
    got = {"completed-fp": True, "cert": "/k/a.pem.crt", "key": "/k/a.pem.key", "thing-name": "x"}
    runtime = tmp_path / "aws-iot-device-client-runtime.conf"
    runtime.write_text(json.dumps({"runtime-config": got}))
    (tmp_path / "aws-iot-device-client.conf").write_text(json.dumps(DEVICE_CLIENT))
    settings = json.loads(run_command("import", tmp_path, "--json").stdout)["settings"]
    assert settings["identity"] == {
        "certificate": "/k/a.pem.crt",
        "private_key": "/k/a.pem.key",
        "thing_name": "x",
    }
    assert settings["claim"]["certificate"] == "/etc/dc/claim.pem.crt"
    # Interrupted, Device Client would have provisioned again.
    runtime.write_text(json.dumps({"runtime-config": got | {"completed-fp": False}}))
    assert (
        "identity" not in json.loads(run_command("import", tmp_path, "--json").stdout)["settings"]
    )


def test_an_identity_that_may_not_be_read_is_not_passed_over(tmp_path: Path) -> None:
    """Without it the device would get a second certificate: it is said, and what to do."""
    conf = tmp_path / "aws-iot-device-client.conf"
    conf.write_text(json.dumps(DEVICE_CLIENT))
    assert "runtime.conf" in run_command("import", conf).stderr
    runtime = tmp_path / "aws-iot-device-client-runtime.conf"
    runtime.mkdir()  # root may read any file
    done = run_command("import", conf, "--json")
    assert (done.status, done.error["code"]) == (78, "import-unreadable")
    assert str(runtime) in done.error["title"]


def test_device_client_s_key_in_a_token_and_no_pin(tmp_path: Path) -> None:
    token = {
        "enabled": True, "pkcs11-lib": "/usr/lib/softhsm/libsofthsm2.so", "secure-element-pin": "geheim",
        "secure-element-slot-id": 1, "secure-element-token-label": "a token", "secure-element-key-label": "k",
    }  # fmt: skip
    theirs = {
        "endpoint": "a1-ats.iot.eu-west-1.amazonaws.com",
        "cert": "/c.pem",
        "thing-name": "x",
    }
    (tmp_path / "dc.conf").write_text(json.dumps(theirs | {"secure-element": token}))
    done = run_command("import", tmp_path / "dc.conf")
    assert done.status == 0, done.stderr
    assert yaml.safe_load(done.stdout)["identity"] == {
        "certificate": "/c.pem",
        "private_key": "pkcs11:token=a%20token;object=k?module-path=/usr/lib/softhsm/libsofthsm2.so",
        "thing_name": "x",
    }
    assert "no equivalent: secure-element: " in done.stderr
    assert "pin-source=FILE" in done.stderr
    assert "geheim" not in done.stdout + done.stderr


def test_greengrass_s_key_in_a_tpm_has_to_be_said(tmp_path: Path) -> None:
    system = (
        "{privateKeyPath: 'handle:0x81000002', certificateFilePath: /gg/c.pem, thingName: core}"
    )
    services = "{aws.greengrass.NucleusLite: {configuration: {iotDataEndpoint: a1-ats.iot.eu-west-1.amazonaws.com}}}"
    (tmp_path / "config.yaml").write_text(f"system: {system}\nservices: {services}\n")
    done = run_command("import", tmp_path)
    assert done.status == 78
    assert "(Greengrass nucleus lite)" in done.stdout
    assert yaml.safe_load(done.stdout)["identity"] == {
        "certificate": "/gg/c.pem",
        "thing_name": "core",
    }
    assert "identity.private_key: pkcs11:" in done.stderr
    assert "to correct: identity: has certificate, but no private_key" in done.stderr


def test_comments_are_named_by_their_line(tmp_path: Path) -> None:
    (tmp_path / "dc.conf").write_text("// a pump\n" + json.dumps(DEVICE_CLIENT))
    done = run_command("import", tmp_path / "dc.conf", "--json")
    assert (done.status, done.error["code"]) == (78, "import-broken")
    assert "is not JSON" in done.error["title"]


def test_greengrass_s_own_certificate(tmp_path: Path) -> None:
    system = "system: {privateKeyPath: file:///gg/k.pem, certificateFilePath: /gg/c.pem, thingName: core}"
    lines = LITE.strip().splitlines()
    assert lines[0].startswith("system: ")
    (tmp_path / "config.yaml").write_text("\n".join([system, *lines[1:]]))
    settings = json.loads(run_command("import", tmp_path, "--json").stdout)["settings"]
    assert settings["identity"] == {
        "certificate": "/gg/c.pem",
        "private_key": "/gg/k.pem",
        "thing_name": "core",
    }
    (tmp_path / "config.yaml").unlink()
    refused = run_command("import", tmp_path)
    assert refused.status == 78
    assert "effectiveConfig.yaml" in refused.stderr


def test_device_client_with_a_certificate_alone_brings_no_claim(tmp_path: Path) -> None:
    off = DEVICE_CLIENT | {"fleet-provisioning": {"enabled": False, "template-name": "t"}}
    (tmp_path / "dc.conf").write_text(json.dumps(off | {"key": ""}))
    done = run_command("import", tmp_path / "dc.conf", "--json")
    answer = json.loads(done.stdout)
    assert not {"claim", "provisioning", "identity"} & set(answer["settings"])
    left = {each["key"]: each["instead"] for each in answer["no_equivalent"]}
    assert "fleet-cloud claim new" in left["cert"]
    assert "no fleet provisioning" in answer["notes"][0]


def test_system_information_that_device_client_collects_is_sent_under_its_names(
    tmp_path: Path,
) -> None:
    section = {"enabled": True, "template-name": "t", "collect-system-information": True}
    (tmp_path / "dc.conf").write_text(json.dumps(DEVICE_CLIENT | {"fleet-provisioning": section}))
    done = run_command("import", tmp_path / "dc.conf", "--out", tmp_path / "config.yaml")
    assert done.status == 0
    settings = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert settings["provisioning"]["parameters"] == {
        "DeviceMACAddress": {"first_of": [{"mac": "eth0"}, {"mac": "auto"}]}
    }
    for name in ("DeviceIPAddress", "IoTDeviceClient-SHA256Hash", "ProvisioningCertSerialNumber"):
        assert name in done.stderr
    assert "collect-system-information: has no equivalent" not in done.stderr
    assert run_command("config", "check", "--config", tmp_path / "config.yaml").status == 0


def test_what_stands_in_device_clients_template_parameters_wins_over_what_it_collects(
    tmp_path: Path,
) -> None:
    section = {
        "enabled": True,
        "template-name": "t",
        "template-parameters": '{"DeviceMACAddress": "00:11:22:33:44:55"}',
        "collect-system-information": True,
    }
    (tmp_path / "dc.conf").write_text(json.dumps(DEVICE_CLIENT | {"fleet-provisioning": section}))
    settings = json.loads(run_command("import", tmp_path / "dc.conf", "--json").stdout)["settings"]
    assert settings["provisioning"]["parameters"] == {"DeviceMACAddress": "00:11:22:33:44:55"}
    section["collect-system-information"] = False
    (tmp_path / "dc.conf").write_text(json.dumps(DEVICE_CLIENT | {"fleet-provisioning": section}))
    answer = json.loads(run_command("import", tmp_path / "dc.conf", "--json").stdout)
    assert not any("collect" in words for words in answer["notes"])


def test_nucleus_lite(tmp_path: Path) -> None:
    (tmp_path / "greengrass-config.yaml").write_text(LITE)
    done = run_command("import", tmp_path / "greengrass-config.yaml")
    assert done.status == 0
    settings = yaml.safe_load(done.stdout)
    assert settings["endpoint"] == "a1-ats.iot.us-east-1.amazonaws.com"
    assert settings["claim"]["private_key"] == str(tmp_path / "path/to/private.pem.key")
    assert settings["provisioning"] == {
        "template": "GreengrassFleetProvisioningTemplate",
        "method": "csr",
        "parameters": {"SerialNumber": "a2_b9", "Line": "7"},
    }
    for name in ("iotCredEndpoint", "csrCommonName", "NucleusLite", "system"):
        assert f"{name}: " in done.stderr


def test_a_claim_key_in_a_tpm_is_named_and_has_to_be_said(tmp_path: Path) -> None:
    (tmp_path / "gg.yaml").write_text(LITE.replace("path/to/private.pem.key", "handle:0x81000000"))
    done = run_command("import", tmp_path / "gg.yaml")
    assert done.status == 78
    assert "claimKeyPath: use PKCS#11 for a key in a TPM" in done.stderr
    assert "to correct: claim.private_key" in done.stderr


def test_the_java_plugin(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(PLUGIN)
    done = run_command("import", tmp_path / "config.yaml", "--json")
    assert done.status == 0
    answer = json.loads(done.stdout)
    assert answer["schema"] == 1
    settings = answer["settings"]
    assert (settings["port"], settings["proxy"]) == (443, "http://proxy.example.com:1100")
    assert settings["provisioning"]["method"] == "keys"
    assert settings["provisioning"]["parameters"] == {
        "ThingName": "Core",
        "ThingGroupName": "Group",
    }
    left = {each["key"].rpartition(".")[2] for each in answer["no_equivalent"]}
    assert {"rootPath", "awsRegion", "iotRoleAlias", "proxyPassword", "Nucleus"} <= left
    assert "pass@word" not in done.stdout + done.stderr


def test_a_proxys_password_stays_behind(tmp_path: Path) -> None:
    url = "http://otto:streng-geheim@proxy.example.com:1100"
    odd = PLUGIN.replace("http://proxy.example.com:1100", url).replace("Core,", "2026-01-02,")
    (tmp_path / "config.yaml").write_text(odd)
    done = run_command("import", tmp_path / "config.yaml")
    assert done.status == 0
    settings = yaml.safe_load(done.stdout)
    assert settings["proxy"] == "http://proxy.example.com:1100"
    assert settings["provisioning"]["parameters"]["ThingName"] == "2026-01-02"
    assert "geheim" not in done.stdout + done.stderr
    assert "proxyUrl: its user and password" in done.stderr


def test_what_is_wrong_with_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "broken.conf").write_text('{"endpoint": ')
    (tmp_path / "broken.yaml").write_text("services: [\n")
    deep = '{"a": ' * 987 + "1" + "}" * 987
    (tmp_path / "deep.conf").write_text(f'{{"cert": {deep}}}')
    (tmp_path / "other.yaml").write_text("a: 1\n")
    (tmp_path / "ours.yaml").write_text(
        "endpoint: x.example.com\nclaim: {certificate: c, private_key: k}\n"
    )
    for name, words in (
        ("broken.conf", "is not JSON"),
        ("deep.conf", "is not JSON: nested too deep"),
        ("broken.yaml", "is not YAML: line 2"),
        ("other.yaml", "is not a configuration of"),
        ("ours.yaml", "is not a configuration of"),
        ("none.conf", "does not exist"),
    ):
        done = run_command("import", tmp_path / name)
        assert done.status == 78
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_an_endpoint_nobody_filled_in_must_be_corrected(tmp_path: Path) -> None:
    blank = DEVICE_CLIENT | {"endpoint": "<replace_with_endpoint_value>"}
    (tmp_path / "dc.conf").write_text(json.dumps(blank))
    done = run_command("import", tmp_path / "dc.conf", "--out", tmp_path / "config.yaml")
    assert done.status == 78
    assert "to correct: endpoint: is missing" in done.stderr
    assert (tmp_path / "config.yaml").exists()


def test_values_stay_as_they_were_written(tmp_path: Path) -> None:
    """YAML makes a number of 0123, 1.10 and 12:30:45, and nothing of an empty value."""
    theirs = LITE.replace(
        "{SerialNumber: a2_b9, Line: 7}",
        "{SerialNumber: 0123, Version: 1.10, Time: 12:30:45, Day: 2024-01-02, Home: $HOME, Sure: yes, Empty: null}",
    )
    (tmp_path / "gg.yaml").write_text(theirs)
    done = run_command("import", tmp_path / "gg.yaml")
    assert yaml.safe_load(done.stdout)["provisioning"]["parameters"] == {
        "SerialNumber": "0123",
        "Version": "1.10",
        "Time": "12:30:45",
        "Day": "2024-01-02",
        "Home": "$HOME",
        "Sure": "yes",
    }
    assert "templateParams.Empty: has no value (null)" in done.stderr
    assert "provisioning.parameters.Home contains a variable ($HOME)" in done.stderr
    parameters = '{"SerialNumber": 1.10, "Big": 123456789012345678901234567890, "Empty": null}'
    device_client = DEVICE_CLIENT | {
        "fleet-provisioning": {
            "enabled": True,
            "template-name": "t",
            "template-parameters": parameters,
        }
    }
    (tmp_path / "dc.conf").write_text(json.dumps(device_client))
    done = run_command("import", tmp_path / "dc.conf")
    assert yaml.safe_load(done.stdout)["provisioning"]["parameters"] == {
        "SerialNumber": "1.10",
        "Big": "123456789012345678901234567890",
    }
    assert "template-parameters.Empty: has no value (null)" in done.stderr


def test_aliases_do_not_multiply(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(["services: {}", *lines]))
    done = run_command("import", "--json", tmp_path / "bomb.yaml")
    assert (done.status, done.error["code"]) == (78, "import-broken"), done.stderr


def test_what_was_imported_provisions(fleet: Fleet, tmp_path: Path) -> None:
    sandbox, claim = fleet.sandbox, fleet.claim
    theirs = DEVICE_CLIENT | {
        "endpoint": "localhost",
        "cert": str(claim.certificate),
        "key": str(claim.private_key),
        "root-ca": str(sandbox.ca_file),
        "fleet-provisioning": {
            "enabled": True,
            "template-name": fleet.template,
            "template-parameters": '{"SerialNumber": "imported"}',
        },
    }
    (tmp_path / "dc.conf").write_text(json.dumps(theirs))
    config = tmp_path / "config.yaml"
    assert run_command("import", tmp_path / "dc.conf", "--out", config).status == 0
    state_dirs.append(tmp_path / "state")
    flags = ("--port", str(sandbox.mqtt_port), "--state-dir", tmp_path / "state", "--json")
    done = run_command("provision", "--config", config, *flags)
    assert done.status == 0, done.stderr
    assert done.answer["thing_name"] == fleet.thing_name("imported")
    assert done.answer["proven"]
