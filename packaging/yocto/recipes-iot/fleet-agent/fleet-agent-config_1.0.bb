SUMMARY = "Configuration and claim of this fleet for fleet-agent"
DESCRIPTION = "What fleet-cloud config and fleet-cloud claim new left in a folder, as /etc/fleet-agent."
HOMEPAGE = "https://docs.aws.amazon.com/iot/latest/developerguide/provision-wo-cert.html"
SECTION = "net"
# Yours, with a private key in it: keep the package feed that has it to yourself.
LICENSE = "Proprietary"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Proprietary;md5=0557f9d92cf58f2ccdd50f62f8ac0b28"

# local.conf: FLEET_AGENT_CONFIG_DIR = "/home/me/image", the --out of fleet-cloud config
FLEET_AGENT_CONFIG_DIR ?= ""
# Relative names: an absolute one is unpacked with all its folders.
FILESEXTRAPATHS:prepend := "${FLEET_AGENT_CONFIG_DIR}:"
SRC_URI = "\
    file://config.yaml \
    file://claim/claim.certificate.pem.crt \
    file://claim/claim.private.pem.key \
"

S = "${UNPACKDIR}"

inherit allarch

require fleet-agent-user.inc

CVE_PRODUCT = "fleet-agent"

# Only for those who set the folder.
EXCLUDE_FROM_WORLD = "1"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# The agent's group from the start: under a read-only root nothing can change it at boot.
do_install() {
    install -d ${D}${sysconfdir}/fleet-agent
    install -m 0640 -g _fleet-agent ${UNPACKDIR}/config.yaml ${D}${sysconfdir}/fleet-agent/config.yaml
    install -d -m 0750 -g _fleet-agent ${D}${sysconfdir}/fleet-agent/claim
    for file in claim.certificate.pem.crt claim.private.pem.key; do
        install -m 0640 -g _fleet-agent ${UNPACKDIR}/claim/$file ${D}${sysconfdir}/fleet-agent/claim/$file
    done
}

CONFFILES:${PN} = "${sysconfdir}/fleet-agent/config.yaml"

RDEPENDS:${PN} += "fleet-agent"

# A local file that is missing stops every build of every image, not only this recipe's.
python () {
    if not d.getVar("FLEET_AGENT_CONFIG_DIR"):
        raise bb.parse.SkipRecipe("FLEET_AGENT_CONFIG_DIR is not set: the folder that fleet-cloud config wrote")
}
