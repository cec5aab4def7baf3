import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { newNodeOptions } from '../new-nodes.ts';
import { connectionOptions, connectionSettings, flag, integer, string, value, valueOr } from '../options.ts';

/** What to look at while nodes do not appear. */
const TO_CHECK =
  'Check power and cable or Wi-Fi; whether the machine is in the list of the router, and `ping NAME.local` answers; that ' +
  'no firewall keeps it from the broker. Put the card back into this machine: tessera-first-boot.log on its boot volume ' +
  'says how far it came; without that file the image did not read what was written, and was perhaps booted before.';

/** `tessera flash TARGET`: cards that boot as nodes. */
export const command = defineCommand({
  arguments: '<target>',
  description:
    'Makes a card of Raspberry Pi OS (64 bit, 12 or newer) one that boots as a node: host name, a user with your SSH key, ' +
    'Wi-Fi, Tessera and a token by which the node joins once; the boot needs no internet. The target is the mounted boot ' +
    'volume of a card, an image file, or a block device, which has to be confirmed; --image writes an image first. With ' +
    'several tokens, or --count, there are as many cards, each another node. Without tokens it invites the nodes itself. ' +
    'Image files and devices need the program mtools.',
  options: {
    ...newNodeOptions,
    name: value('--name <name>', "host name; default: the node's id", string),
    count: value('--count <n>', 'cards, NAME-1 to NAME-N', integer(1, 250)),
    wifi: value('--wifi <ssid>', 'Wi-Fi network (WPA2)', string),
    wifiPasswordFile: value(
      '--wifi-password-file <file>',
      'file that holds its passphrase; the card gets its key',
      string,
    ),
    country: value('--country <xx>', 'country whose rules the radio follows, such as DE', string),
    sshKey: value('--ssh-key <file>', 'public key of whoever may log in, such as ~/.ssh/id_ed25519.pub', string),
    user: valueOr('--user <name>', 'user who may log in by that key, and use sudo', string, 'pi'),
    image: value('--image <file>', 'image to write to the target first; .xz, .gz and .zst are unpacked', string),
    bundle: value('--bundle <file>', 'package for arm64; default: the one of this version in this folder', string),
    yes: flag('--yes', 'write over a device or file without asking'),
    broker: connectionOptions.broker,
  },
  examples: [
    ['flash /media/me/bootfs --join tessera1.eyJz... --ssh-key ~/.ssh/id_ed25519.pub', 'a card that is in the machine'],
    [
      'flash /dev/sdb --image raspios.img.xz --name pi --count 8 --ssh-key key.pub --wait',
      'eight new cards, one after the other, invited at the broker',
    ],
    [
      'flash pi.img --image raspios.img --join-file token --ssh-key key.pub --wifi Home --wifi-password-file wifi --country DE',
      'makes an image file, for any program that writes images',
    ],
  ],
  async run({ args, options, json, out, signal, config: loadConfig }) {
    const path = args[0]!;
    if (options.sshKey === undefined)
      throw usage(
        'without --ssh-key nobody could log in to the card',
        'name a public key; `ssh-keygen -t ed25519` makes one',
      );
    if ((options.wifi === undefined) !== (options.wifiPasswordFile === undefined))
      throw usage('--wifi and --wifi-password-file go together', 'give both or none');
    const [{ openTarget }, { makeCards }, { prepareCard }, { readPackage }, { packageVersion }, own] =
      await Promise.all([
        import('../flash/target.ts'),
        import('../flash/make-cards.ts'),
        import('../flash/prepare-card.ts'),
        import('../read-package.ts'),
        import('../../shared/runtime/version.ts'),
        import('../new-nodes.ts'),
      ]);
    const { givenTokens, newNodes, readOption } = own;
    const given = await givenTokens(options.join, options.joinFile);
    const count = options.count ?? Math.max(1, given.length);
    if (given.length > 0 && given.length !== count)
      throw usage(`${count} cards need as many tokens, not ${given.length}`, 'leave --count or the tokens out');
    const names =
      options.name === undefined
        ? undefined
        : count === 1
          ? [options.name]
          : Array.from({ length: count }, (_, index) => `${options.name}-${index + 1}`);
    if (names === undefined && given.length === 0)
      throw usage('neither --join nor --name is given', 'give an invitation, or a name by which the node is invited');
    const wanted = {
      user: options.user,
      keys: await readOption('--ssh-key', options.sshKey),
      wifi:
        options.wifi === undefined
          ? undefined
          : {
              ssid: options.wifi,
              passphrase: (await readOption('--wifi-password-file', options.wifiPasswordFile!)).replace(/[\r\n]+$/, ''),
            },
      country: options.country,
    };
    // Everything that may be wrong is found before a token is made or a card is touched.
    if (names !== undefined) makeCards(names, wanted);
    const debian = await readPackage(options.bundle ?? `tessera-${packageVersion()}-linux-arm64.deb`, 'arm64');
    const target = await openTarget(path, count, {
      image: options.image,
      yes: options.yes,
      ask: process.stdin.isTTY === true ? ask : undefined,
      progress: out.progress,
    });
    const loaded = await loadConfig(await connectionSettings({ ...options, user: undefined, passwordFile: undefined }));
    const made = await newNodes({ given, names: names ?? [], wait: options.wait }, loaded);
    try {
      const { tokens } = made;
      const cards = makeCards(names ?? tokens.map(({ invitation }) => invitation.user), wanted);
      for (const [index, card] of cards.entries()) {
        signal.throwIfAborted();
        const { token, invitation } = tokens[index]!;
        await target.withCard(card.name, async (volume, where) => {
          const form = await prepareCard(volume, card, token, debian, where);
          const { user: node } = invitation;
          if (json) out.json({ target: where, node, form, host: card.name, user: card.user });
          else out.line(`${where}: node ${node}, by ${form}; ssh ${card.user}@${card.name}.local`);
        });
        out.note(
          `it joins ${invitation.server}, if it boots before ${new Date(invitation.expires * 1000).toISOString()}`,
        );
        if (target.isMounted) out.note('unmount the card before you take it out');
      }
      if (!options.wait) return 0;
      out.note('waiting; a first boot takes about 3 minutes');
      return (await made.untilOnline(TO_CHECK, out, json, signal)) ? 0 : 1;
    } finally {
      await made.close();
    }
  },
});

/** Asks a question at the terminal. */
async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question);
  } finally {
    lines.close();
  }
}

const usage = (message: string, hint: string): TesseraError => new TesseraError('TESSERA_USAGE', message, { hint });
