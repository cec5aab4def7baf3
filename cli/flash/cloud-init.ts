import { BOOT, type Card, OURS } from './card.ts';

/*
 * The files of cloud-init's NoCloud source. All are JSON, which is YAML without its surprises.
 */

/** user-data. Without manage_etc_hosts, which would set the host name back at every boot. */
export function userData({ name, user, keys }: Card): string {
  const content = {
    hostname: name,
    users: [
      {
        name: user,
        groups: ['adm', 'sudo', 'video', 'plugdev', 'users', 'netdev'],
        shell: '/bin/bash',
        lock_passwd: true,
        sudo: 'ALL=(ALL) NOPASSWD:ALL',
        ssh_authorized_keys: keys,
      },
    ],
    ssh_pwauth: false,
    runcmd: [['sh', `${BOOT}/${OURS.install}`]],
  };
  return `#cloud-config\n${JSON.stringify(content, null, 2)}\n`;
}

/** meta-data. The instance is new for each flash: of an old one cloud-init knows that all is done. */
export function metaData({ instance }: Card): string {
  return `instance-id: ${instance}\ndsmode: local\n`;
}

/** network-config, in the form of netplan: a cable, and Wi-Fi where it is given; no boot waits for either. */
export function networkConfig({ wifi, country }: Card): string {
  const wifis = wifi && {
    wlan0: {
      dhcp4: true,
      optional: true,
      ...(country === undefined ? {} : { 'regulatory-domain': country }),
      'access-points': { [wifi.ssid]: { password: wifi.psk } },
    },
  };
  const ethernets = { eth0: { dhcp4: true, optional: true } };
  return `${JSON.stringify({ network: { version: 2, ethernets, ...(wifis && { wifis }) } }, null, 2)}\n`;
}
