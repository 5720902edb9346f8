from fleet_agent.config.paths import configuration_files
from fleet_agent.config.sources import Dmi, Mac
from fleet_agent.config.subscriptions import Subscription
from support.configurations import Folder

BASE = """
endpoint: a.example
provisioning:
  template: one
  parameters: {A: {mac: auto}, B: text}
subscriptions: [{topic: a}, {topic: b}]
"""


def test_mappings_are_merged_and_lists_replaced(folder: Folder) -> None:
    folder.write(BASE)
    folder.write(
        "provisioning: {method: keys}\nsubscriptions: [{topic: c}]\n", "config.d/site.yaml"
    )
    settings = folder.load()
    assert settings.provisioning
    assert (settings.provisioning.template, settings.provisioning.method) == ("one", "keys")
    assert settings.subscriptions == (Subscription(topic="c"),)


def test_a_template_parameter_is_replaced_whole(folder: Folder) -> None:
    folder.write(BASE)
    folder.write("provisioning: {parameters: {A: {dmi: product_serial}}}", "config.d/a.yaml")
    settings = folder.load()
    assert settings.provisioning
    assert settings.provisioning.parameters == {"A": Dmi(dmi="product_serial"), "B": "text"}


def test_the_last_name_wins(folder: Folder) -> None:
    folder.write(BASE)
    folder.write("port: 3\n", "config.d/20-b.yaml")
    folder.write("port: 2\n", "config.d/10-a.yaml")
    assert folder.load().port == 3


def test_null_in_a_drop_in_takes_a_section_away(folder: Folder) -> None:
    folder.write(BASE)
    folder.write("provisioning: null\n", "config.d/a.yaml")
    assert folder.load().provisioning is None


def test_relative_paths_start_at_the_main_files_folder(folder: Folder) -> None:
    folder.write(BASE)
    folder.write("ca_file: ca.pem\n", "config.d/a.yaml")
    assert folder.load().ca_file == str(folder.path / "ca.pem")


def test_an_error_is_told_with_the_drop_ins_name_after_the_files_own(folder: Folder) -> None:
    folder.write(BASE + "port: x\n")
    folder.write("proxy: x\n", "config.d/b.yaml")
    folder.write("ca_file: ''\n", "config.d/a.yaml")
    assert [line.split(": ")[0] for line in folder.problems()] == [
        "config.yaml:7:7",
        "config.d/a.yaml:1:10",
        "config.d/b.yaml:1:8",
    ]


def test_a_broken_drop_in_hides_what_would_only_follow_from_it(folder: Folder) -> None:
    folder.write("port: 443\n")
    folder.write("endpoint: [a\n", "config.d/a.yaml")
    (line,) = folder.problems()
    assert line.startswith("config.d/a.yaml:2:1: not YAML")


def test_what_editors_and_packages_leave_behind_is_not_read(folder: Folder) -> None:
    folder.write(BASE)
    for name in ("a.yaml~", ".b.yaml", "c.yaml.dpkg-dist", "README"):
        folder.write("port: 1\n", f"config.d/{name}")
    assert folder.load().port == 8883
    assert configuration_files(folder.file) == (folder.file,)


def test_a_drop_in_with_the_wrong_ending_is_an_error_not_silence(folder: Folder) -> None:
    folder.write(BASE)
    folder.write("port: 1\n", "config.d/site.yml")
    assert folder.problems() == ["config.d/site.yml:1:1: is ignored (rename it to site.yaml)"]


def test_a_file_in_place_of_the_folder_is_an_error_not_silence(folder: Folder) -> None:
    folder.write(BASE)
    folder.write("port: 1\n", "config.d")
    assert folder.problems() == ["config.d: cannot be read: Not a directory"]


def test_an_empty_drop_in_changes_nothing(folder: Folder) -> None:
    folder.write(BASE)
    folder.write("# nothing yet\n", "config.d/a.yaml")
    settings = folder.load()
    assert settings.provisioning
    assert settings.provisioning.parameters["A"] == Mac(mac="auto")
