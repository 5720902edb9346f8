SUMMARY = "Identity and telemetry for a device of a fleet on AWS IoT Core"
DESCRIPTION = "Turns a claim baked into the image into an identity of the device's own, keeps it, carries readings up and orders down."
HOMEPAGE = "https://docs.aws.amazon.com/iot/latest/developerguide/provision-wo-cert.html"
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# The commit of the checkout that this layer is part of: who pins the layer pins the sources. A bbappend may name a
# mirror, and another commit in SRCREV.
FLEET_AGENT_REPOSITORY ?= "${@os.path.realpath(d.getVar('THISDIR') + '/../../../..')}"
FLEET_AGENT_PROTOCOL ?= "file"
SRC_URI = "git://${FLEET_AGENT_REPOSITORY};protocol=${FLEET_AGENT_PROTOCOL};nobranch=1;destsuffix=${BP}"
SRCREV ?= "${@oe.buildcfg.get_metadata_git_revision(d.getVar('THISDIR'))}"

S = "${UNPACKDIR}/${BP}"

inherit bash-completion features_check python_setuptools_build_meta systemd

require fleet-agent-user.inc

CVE_PRODUCT = "fleet-agent"

REQUIRED_DISTRO_FEATURES = "systemd"

SYSTEMD_SERVICE:${PN} = "fleet-agent.service fleet-agent.socket"

# state-on-data: the state in /data/fleet-agent, for a read-only root or two of them.
PACKAGECONFIG ??= ""
PACKAGECONFIG[state-on-data] = ""

do_install:append() {
    # The wheel also holds the sandbox, which is for tests.
    rm -rf ${D}${PYTHON_SITEPACKAGES_DIR}/iot_sandbox

    install -D -m 0644 ${S}/systemd/fleet-agent.service ${D}${systemd_system_unitdir}/fleet-agent.service
    install -D -m 0644 ${S}/systemd/fleet-agent.socket ${D}${systemd_system_unitdir}/fleet-agent.socket
    install -m 0644 ${S}/systemd/fleet-agent-check.path ${S}/systemd/fleet-agent-check.service ${D}${systemd_system_unitdir}
    # What orders need root for: systemctl enable fleet-agent-helper.socket in the image, and programs in helpers.d.
    install -D -m 0644 ${S}/systemd/fleet-agent-helper.socket ${D}${systemd_system_unitdir}/fleet-agent-helper.socket
    install -m 0644 ${S}/systemd/fleet-agent-helper@.service ${D}${systemd_system_unitdir}
    install -d ${D}${sysconfdir}/fleet-agent/helpers.d ${D}${datadir}/fleet-agent/helpers.d
    install -m 0755 ${S}/packaging/helpers.d/reboot ${S}/packaging/helpers.d/restart-service \
        ${S}/packaging/helpers.d/download-file ${D}${datadir}/fleet-agent/helpers.d
    install -m 0644 ${S}/packaging/helpers.d/*.profile ${S}/packaging/helpers.d/*.allow ${D}${datadir}/fleet-agent/helpers.d
    install -d ${D}${nonarch_libdir}/fleet-agent
    printf '%s\n' '#!/usr/bin/python3 -I' 'from fleet_agent_helper.__main__ import main' 'main()' \
        > ${D}${nonarch_libdir}/fleet-agent/helper
    chmod 0755 ${D}${nonarch_libdir}/fleet-agent/helper

    install -D -m 0644 ${S}/systemd/system-preset/80-fleet-agent.preset \
        ${D}${nonarch_libdir}/systemd/system-preset/80-fleet-agent.preset

    install -D -m 0644 ${S}/systemd/fleet-agent.catalog ${D}${nonarch_libdir}/systemd/catalog/fleet-agent.catalog
    install -D -m 0644 ${S}/systemd/tmpfiles.d/fleet-agent.conf ${D}${nonarch_libdir}/tmpfiles.d/fleet-agent.conf
    install -d ${D}${datadir}/fleet-agent/examples/systemd
    install -m 0644 ${S}/systemd/examples/*.conf ${D}${datadir}/fleet-agent/examples/systemd
    install -m 0644 ${S}/packaging/example/config.yaml ${D}${datadir}/fleet-agent/examples

    install -D -m 0644 ${S}/packaging/completion/fleet-agent.bash ${D}${datadir}/bash-completion/completions/fleet-agent
    install -D -m 0644 ${S}/packaging/man/fleet-agent.1 ${D}${mandir}/man1/fleet-agent.1
    install -D -m 0644 ${S}/packaging/man/fleet-agent.yaml.5 ${D}${mandir}/man5/fleet-agent.yaml.5

    if ${@bb.utils.contains('PACKAGECONFIG', 'state-on-data', 'true', 'false', d)}; then
        install -D -m 0644 ${S}/systemd/examples/state-on-data.conf \
            ${D}${systemd_system_unitdir}/fleet-agent.service.d/state-on-data.conf
        # Made at boot: what the image has in /data lies under the partition that is mounted there.
        echo 'd /data/fleet-agent 0700 _fleet-agent _fleet-agent -' > ${D}${nonarch_libdir}/tmpfiles.d/fleet-agent-data.conf
    fi
}

FILES:${PN} += "\
    ${nonarch_libdir}/fleet-agent \
    ${nonarch_libdir}/systemd/catalog \
    ${nonarch_libdir}/systemd/system-preset \
    ${nonarch_libdir}/tmpfiles.d \
    ${systemd_system_unitdir} \
"

# OE-core splits the standard library; the AWS SDK's own recipe pulls core, asyncio and json alone.
RDEPENDS:${PN} += "\
    aws-iot-device-sdk-python-v2 \
    ca-certificates \
    python3-asyncio \
    python3-codecs \
    python3-compression \
    python3-core \
    python3-crypt \
    python3-cryptography \
    python3-ctypes \
    python3-datetime \
    python3-difflib \
    python3-fcntl \
    python3-io \
    python3-json \
    python3-logging \
    python3-math \
    python3-netclient \
    python3-pickle \
    python3-pyyaml \
    python3-resource \
    python3-shell \
    python3-sqlite3 \
    python3-systemd \
    python3-threading \
"

python () {
    # In a layer without git's records nothing says which sources are meant: not a reason to stop other builds.
    import re

    if not re.fullmatch("[0-9a-f]{40,64}", d.getVar("SRCREV") or ""):
        raise bb.parse.SkipRecipe("SRCREV is not set, and the layer is no git checkout that could say it")
}
