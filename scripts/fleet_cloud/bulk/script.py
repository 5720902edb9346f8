"""What a dry run of ``bulk`` prints: a script that registers, and after which ``bulk`` itself saves the outcome."""

import dataclasses
from collections.abc import Sequence

from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.names import BulkNames
from fleet_cloud.bulk import cloud, layout, tasks
from fleet_cloud.bulk.layout import KEY, SHARED, BulkFolder, Record
from fleet_cloud.fleet import certify
from fleet_cloud.local import files, openssl, quoting, records
from fleet_cloud.local.shell import Variable

_REQUEST, _CERTIFICATE_ID = Variable("request"), Variable("certificate_id")
_LOOP = f"""\
  mkdir -p -m 700 {{things}}/$name
  key={{things}}/$name/{KEY}
  if [ -e "$key" ]; then
    csr=$(openssl req -new -key "$key" -subj /CN=$name)
  else
    csr=$(openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$key" -subj /CN=$name)
  fi
  csr=$(printf '%s\\n' "$csr" | awk '{{{{printf "%s\\\\n", $0}}}}')
  printf '{{{{"ThingName":"%s","CSR":"%s"}}}}\\n' "$name" "$csr\""""
_SHARED_LOOP = """\
  printf '{{"ThingName":"%s","CertificateId":"%s"}}\\n' "$name" "{identifier}\""""


def show(
    aws: Aws, bulk: BulkNames, folder: BulkFolder, record: Record, pending: Sequence[str]
) -> None:
    """Prints the script, without what creates role, policy, type and bucket."""
    shell, say = aws.shell, aws.shell.console.script
    key = tasks.new_key(record.prefix)
    things, parameters = folder.path / layout.THINGS, folder.parameters(key)
    for each in (folder.path, things, parameters.parent):
        shell.make_folder(each, 0o700)
    if record.shared:
        loop = _SHARED_LOOP.format(identifier=shared_certificate(aws, folder))
    else:
        loop = _LOOP.format(things=quoting.word(things))
    say(f"for name in {quoting.line(pending)}; do\n{loop}\ndone > {quoting.word(parameters)}")
    aws.change(tasks.upload(aws, bulk, key, parameters))
    under_way = dataclasses.replace(record, key=key)
    shell.write_public(folder.path / layout.RECORD, records.render(under_way))
    template = cloud.template(bulk, record.thing_type, shared=record.shared)
    aws.change(tasks.start(aws, bulk, key, template))
    say(str(tasks.describe(aws, tasks.TASK)))
    say(str(tasks.reports(aws, tasks.TASK, "RESULTS")))
    say(
        quoting.comment(
            "then fleet-cloud bulk with the same flags waits for the task and saves the certificates"
        )
    )


def shared_certificate(aws: Aws, folder: BulkFolder) -> str:
    """Makes the certificate that all things share, unless it exists; returns its id (in a dry run a variable)."""
    shell, certificate, key = aws.shell, folder.certificate(SHARED), folder.key(SHARED)
    pem = files.read(certificate)
    if pem is not None:
        return openssl.certificate_id(pem, certificate)
    shell.make_folder(certificate.parent, 0o700)
    if not key.exists():
        shell.change(openssl.make_key(key))
    shell.change(openssl.make_request(key, SHARED, _REQUEST))
    command = certify.command(
        aws, _REQUEST, certificate, _CERTIFICATE_ID, named_by="certificateId"
    )
    aws.change(command)
    shell.make_private(certificate)
    return shell.value(_CERTIFICATE_ID)
