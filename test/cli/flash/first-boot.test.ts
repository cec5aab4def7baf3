import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { type Card, OURS, shellWord } from '../../../cli/flash/card.ts';
import { type Form, firstBoot, formOf } from '../../../cli/flash/first-boot.ts';
import { installScript } from '../../../cli/flash/install-script.ts';
import { makeCleanRoot, NO_CLEAN_ROOT, runInRoot } from '../../support/clean-root.ts';

/** If it fails, a card boots as nobody's node, and there is neither screen nor log to say so. */

const FORMS: readonly Form[] = ['cloud-init', 'firstrun', 'rpi-preseed'];
const CMDLINE =
  'console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait quiet';
const PSK = 'a'.repeat(64);
const TOKEN = 'tessera1.secret';
const CARD: Card = {
  name: 'pi-1',
  user: 'mila',
  keys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5cPqbXEL4yrXh9lW9pPbSmUEHYpLcHnVqz1GQz1ZbF mila@desk'],
  wifi: { ssid: 'Home', psk: PSK },
  country: 'DE',
  instance: 'tessera-pi-1-0001',
};
const WIRED: Card = { ...CARD, wifi: undefined };

const folder = mkdtempSync(join(tmpdir(), 'tessera-first-boot-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const fileOf = (form: Form, name: string, card = CARD, cmdline = CMDLINE): string =>
  firstBoot(form, card, TOKEN, cmdline).files.get(name)!;
const words = (form: Form, card = CARD, cmdline = CMDLINE): string[] =>
  fileOf(form, 'cmdline.txt', card, cmdline).trim().split(' ');

const lacks = (program: string): string | undefined =>
  spawnSync('which', [program]).status === 0 ? undefined : `no ${program}`;
const titled = (title: string, missing: string | undefined): string =>
  missing === undefined ? title : `${title} (skipped: ${missing})`;

describe('the form of an image', () => {
  it.each([
    [['config.txt', 'cmdline.txt'], CMDLINE, 'firstrun'],
    [['config.txt', 'cmdline.txt', 'user-data', 'meta-data'], CMDLINE, 'cloud-init'],
    [['config.txt', 'cmdline.txt'], `${CMDLINE} ds=nocloud;i=rpi-imager-1`, 'cloud-init'],
    [['config.txt', 'cmdline.txt', 'user-data', 'rpi-preseed.toml'], CMDLINE, 'rpi-preseed'],
  ] as const)('%j is found', (names, cmdline, form) => {
    expect(formOf(names, cmdline)).toBe(form);
  });
});

describe('cmdline.txt', () => {
  it.each(FORMS)('stays one line and keeps what the image needs (%s)', (form) => {
    const text = fileOf(form, 'cmdline.txt');
    expect(text.match(/\n/g)).toHaveLength(1);
    expect(text.startsWith(CMDLINE)).toBe(true);
  });

  it('names the new instance, as that of an earlier flash would count more than meta-data', () => {
    const cmdline = `${CMDLINE} ds=nocloud;i=rpi-imager-1766\n`;
    expect(words('cloud-init', CARD, cmdline).filter((word) => word.startsWith('ds='))).toEqual([
      'ds=nocloud;i=tessera-pi-1-0001',
    ]);
    expect(fileOf('cloud-init', 'meta-data')).toContain('instance-id: tessera-pi-1-0001\n');
  });

  it.each(FORMS)('is the same after a second flash (%s)', (form) => {
    expect(words(form, CARD, fileOf(form, 'cmdline.txt'))).toEqual(words(form));
  });

  it('tells the radio its country where nothing else does', () => {
    const word = 'cfg80211.ieee80211_regdom=DE';
    for (const form of FORMS) expect(words(form, WIRED)).toContain(word);
    expect(words('cloud-init')).not.toContain(word);
    expect(words('firstrun')).toContain(word);
    expect(words('firstrun', WIRED, `${CMDLINE} cfg80211.ieee80211_regdom=GB`).join(' ')).not.toContain('GB');
  });

  it('runs firstrun.sh where it lies, so that the image changes nothing in it', () => {
    expect(words('firstrun')).toContain('systemd.run=/boot/firmware/firstrun.sh');
    expect(words('cloud-init', CARD, fileOf('firstrun', 'cmdline.txt')).join(' ')).not.toContain('systemd.');
  });
});

describe('what is written', () => {
  it.each(FORMS)('leaves nothing of another form or of an earlier boot (%s)', (form) => {
    const { files, gone } = firstBoot(form, CARD, TOKEN, CMDLINE);
    expect([...files.keys()].at(-1)).toBe('cmdline.txt');
    expect(gone.filter((name) => files.has(name))).toEqual([]);
    const all = ['user-data', 'meta-data', 'network-config', 'firstrun.sh', 'rpi-preseed.toml', OURS.log];
    expect(all.filter((name) => !files.has(name) && !gone.includes(name))).toEqual([]);
  });

  it('has the host name not set back at every boot', () => {
    expect(fileOf('cloud-init', 'user-data')).not.toContain('manage_etc_hosts');
  });

  it('puts the country of the radio under its interface', () => {
    const { network } = JSON.parse(fileOf('cloud-init', 'network-config'));
    expect(network.wifis.wlan0).toMatchObject({
      'regulatory-domain': 'DE',
      'access-points': { Home: { password: PSK } },
    });
    expect(JSON.parse(fileOf('cloud-init', 'network-config', WIRED)).network).not.toHaveProperty('wifis');
  });

  it('is quoted for the shell whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const word = text.replaceAll('\0', '');
        expect(execFileSync('sh', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' })).toBe(
          Buffer.from(word).toString(),
        );
      }),
      { numRuns: 20 },
    );
  });
});

describe('rpi-preseed.toml', () => {
  /** Sections and keys of rpi-preseed 1.1: its manual page and schema/rpi-preseed.schema. */
  const KNOWN: Readonly<Record<string, 'string' | 'bool' | 'array'>> = {
    config_version: 'string',
    'system.hostname': 'string',
    'user.name': 'string',
    'user.passwordless_sudo': 'bool',
    'user.groups': 'array',
    'ssh.enabled': 'bool',
    'ssh.password_authentication': 'bool',
    'ssh.authorized_keys': 'array',
    'wlan.ssid': 'string',
    'wlan.ssid_hex': 'string',
    'wlan.password': 'string',
    'wlan.country': 'string',
    'wlan.key_mgmt': 'string',
    'runcmd.late': 'array',
    'runcmd.late_require_time_sync': 'bool',
  };

  /** As the shell script of rpi-preseed reads it: a value is on one line, an array holds strings. */
  function read(text: string): Record<string, unknown> {
    const found: Record<string, unknown> = {};
    let section = '';
    for (const line of text.split('\n')) {
      const header = /^\[([a-z]+)\]$/.exec(line);
      if (header !== null) section = `${header[1]}.`;
      const [, key, value] = /^([a-z_]+) = (.+)$/.exec(line) ?? [];
      if (key !== undefined) found[`${section}${key}`] = JSON.parse(value!);
    }
    return found;
  }

  it.each([CARD, WIRED, { ...CARD, wifi: { ssid: 'Café "1"', psk: PSK } }])(
    'has known keys of the right type',
    (card) => {
      const found = read(fileOf('rpi-preseed', 'rpi-preseed.toml', card));
      expect(found.config_version).toBe('1.1');
      for (const [key, value] of Object.entries(found))
        expect(`${key} ${Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value}`).toBe(
          `${key} ${KNOWN[key]}`,
        );
    },
  );

  it('writes names of networks that its reader would not understand in hex', () => {
    const card = { ...CARD, wifi: { ssid: 'Café', psk: PSK } };
    expect(read(fileOf('rpi-preseed', 'rpi-preseed.toml', card))['wlan.ssid_hex']).toBe('436166c3a9');
    expect(read(fileOf('rpi-preseed', 'rpi-preseed.toml'))['wlan.ssid']).toBe('Home');
  });

  it('installs without internet: not in the phase that has five seconds, and without waiting for the time', () => {
    const found = read(fileOf('rpi-preseed', 'rpi-preseed.toml'));
    expect(found).toMatchObject({
      'runcmd.late': ['sh /boot/firmware/tessera-install.sh'],
      'runcmd.late_require_time_sync': false,
    });
  });
});

describe('the files, as the programs that read them see them', () => {
  const NO_CLOUD_INIT = lacks('cloud-init');
  it.skipIf(NO_CLOUD_INIT !== undefined)(titled('cloud-init finds no fault', NO_CLOUD_INIT), () => {
    const file = join(folder, 'user-data');
    writeFileSync(file, fileOf('cloud-init', 'user-data'));
    const said = execFileSync('cloud-init', ['schema', '--config-file', file], { encoding: 'utf8' });
    expect(said).toMatch(/^Valid/m);
  });

  it.skipIf(NO_CLOUD_INIT !== undefined)(titled('cloud-init makes netplan of the network', NO_CLOUD_INIT), () => {
    const [file, out] = [join(folder, 'network-config'), join(folder, 'network')];
    writeFileSync(file, fileOf('cloud-init', 'network-config'));
    const convert = ['devel', 'net-convert', '--kind', 'yaml', '-D', 'ubuntu', '-O', 'netplan'];
    execFileSync('cloud-init', [...convert, '--network-data', file, '-d', out], { stdio: 'ignore' });
    const netplan = readFileSync(join(out, 'etc/netplan/50-cloud-init.yaml'), 'utf8');
    expect(netplan).toContain('regulatory-domain: DE');
    expect(netplan).toContain(`password: ${PSK}`);
  });

  const NO_SHELLCHECK = lacks('shellcheck');
  it.skipIf(NO_SHELLCHECK !== undefined)(titled('shellcheck finds no fault', NO_SHELLCHECK), () => {
    for (const name of ['firstrun.sh', OURS.install]) {
      const { stdout } = spawnSync('shellcheck', ['-'], { input: fileOf('firstrun', name), encoding: 'utf8' });
      expect(stdout).toBe('');
    }
  });
});

describe.skipIf(NO_CLEAN_ROOT !== undefined)(titled('a first boot', NO_CLEAN_ROOT), () => {
  const record = 'echo "$(basename "$0") $*" >>/var/log/said';

  /** A root whose boot partition was flashed. */
  function flashed(name: string, form: Form, stubs: Readonly<Record<string, string>> = {}): string {
    const root = join(folder, name);
    makeCleanRoot(root, { systemctl: record, dpkg: record, tessera: record, rfkill: record, ...stubs });
    for (const [file, text] of firstBoot(form, CARD, TOKEN, CMDLINE).files)
      writeFileSync(join(root, 'boot/firmware', file), text);
    writeFileSync(join(root, 'boot/firmware', OURS.package), 'package');
    return root;
  }
  const inside = (root: string, file: string): string => readFileSync(join(root, file), 'utf8');

  it('by firstrun makes user, host name, Wi-Fi and service, and the next boot is an ordinary one', () => {
    const root = flashed('firstrun', 'firstrun');
    mkdirSync(join(root, 'var/lib/systemd/rfkill'), { recursive: true });
    writeFileSync(join(root, 'var/lib/systemd/rfkill/soc:wlan'), '1\n');
    runInRoot(root, 'sh', '/boot/firmware/firstrun.sh');
    expect(inside(root, 'etc/hostname')).toBe('pi-1\n');
    expect(inside(root, 'etc/hosts')).toBe('127.0.0.1\tlocalhost\n127.0.1.1\tpi-1\n');
    expect(inside(root, 'etc/passwd')).toContain('mila:x:1000:1000::/home/mila:/bin/bash\n');
    expect(inside(root, 'home/mila/.ssh/authorized_keys')).toBe(`${CARD.keys[0]}\n`);
    expect(statSync(join(root, 'home/mila/.ssh/authorized_keys'))).toMatchObject({ uid: 1000, mode: 0o100600 });
    expect(inside(root, 'etc/sudoers.d/010_tessera')).toBe('mila ALL=(ALL) NOPASSWD: ALL\n');
    const connection = 'etc/NetworkManager/system-connections/tessera.nmconnection';
    expect(inside(root, connection)).toContain(`ssid=72;111;109;101;\n`);
    expect(inside(root, connection)).toContain(`psk=${PSK}\n`);
    expect(statSync(join(root, connection)).mode).toBe(0o100600);
    expect(inside(root, 'var/lib/systemd/rfkill/soc:wlan')).toBe('0\n');
    expect(inside(root, 'var/log/said').split('\n')).toEqual([
      'systemctl enable ssh.service',
      'rfkill unblock wifi',
      'dpkg -i /boot/firmware/tessera.deb',
      'tessera service install agent --join-file /boot/firmware/tessera.join --later',
      '',
    ]);
    expect(inside(root, 'boot/firmware/cmdline.txt')).toBe(`${CMDLINE} cfg80211.ieee80211_regdom=DE\n`);
  });

  it('leaves the user to the image, where that has a program for it', () => {
    const root = flashed('userconf', 'firstrun');
    const script = fileOf('firstrun', 'firstrun.sh').replaceAll('/usr/lib/userconf-pi/userconf', '/stubs/userconf');
    writeFileSync(join(root, 'boot/firmware/firstrun.sh'), script);
    writeFileSync(join(root, 'stubs/userconf'), `#!/bin/sh\n${record}\nusermod -l "$1" -d /home/$1 -m first\n`, {
      mode: 0o755,
    });
    runInRoot(root, 'sh', '/boot/firmware/firstrun.sh');
    expect(inside(root, 'var/log/said')).toContain('userconf mila *\n');
    expect(existsSync(join(root, 'home/mila/.ssh/authorized_keys'))).toBe(true);
  });

  it.each(FORMS)('leaves no secret where anybody with the card can read it (%s)', (form) => {
    const root = flashed(`secrets-${form}`, form);
    // What somebody finds who reads the clusters of files that were removed.
    const clusters = join(folder, `clusters-${form}`);
    mkdirSync(clusters);
    for (const name of readdirSync(join(root, 'boot/firmware')))
      linkSync(join(root, 'boot/firmware', name), join(clusters, name));
    runInRoot(root, 'sh', form === 'firstrun' ? '/boot/firmware/firstrun.sh' : `/boot/firmware/${OURS.install}`);
    const boot = join(root, 'boot/firmware');
    const left = readdirSync(boot);
    for (const name of left) for (const secret of [TOKEN, PSK]) expect(inside(boot, name)).not.toContain(secret);
    for (const name of readdirSync(clusters))
      for (const secret of [TOKEN, PSK]) expect(`${name}: ${inside(clusters, name)}`).not.toContain(secret);
    const kept = form === 'cloud-init' ? ['meta-data', 'user-data'] : [];
    expect(left.sort()).toEqual(['cmdline.txt', ...kept, OURS.log].sort());
    if (form === 'cloud-init') expect(inside(boot, 'user-data')).toBe('#cloud-config\n');
    // firstrun is followed by another boot, which starts what is enabled.
    const ssh = form === 'firstrun' ? 'enable ssh.service' : 'enable --now --no-block ssh.service';
    expect(inside(root, 'var/log/said')).toContain(`systemctl ${ssh}\n`);
  });

  it.each([
    ['dpkg', 'the package is not for this system'],
    ['tessera', 'the service was not installed'],
  ])(
    'that fails at %s says so on the card, keeps what a second try needs, and lets the machine come up',
    (program, said) => {
      const root = flashed(`fails-${program}`, 'firstrun', { [program]: 'exit 1' });
      runInRoot(root, 'sh', '/boot/firmware/firstrun.sh');
      expect(inside(root, `boot/firmware/${OURS.log}`)).toContain(`failed: ${said}`);
      expect(inside(root, `boot/firmware/${OURS.token}`)).toBe(`${TOKEN}\n`);
      expect(inside(root, 'boot/firmware/cmdline.txt')).not.toContain('systemd.');
      expect(() => runInRoot(root, 'sh', `/boot/firmware/${OURS.install}`)).toThrow();
    },
  );
});

it('the script of every form is one text: nothing in it depends on a network', () => {
  expect(installScript(CARD)).not.toMatch(/\b(curl|wget|apt|apt-get)\b/);
});
