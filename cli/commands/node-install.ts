import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { newNodeOptions } from '../new-nodes.ts';
import { connectionOptions, connectionSettings, string, value } from '../options.ts';

/** `tessera node install USER@HOST`: makes a machine that runs already a node. */
export const command = defineCommand({
  arguments: '<destination>',
  description:
    'Makes a machine with Debian 12 or newer, such as a Raspberry Pi that runs already, a node: copies the package over ' +
    '`ssh`, installs it, and starts an agent as a service that joins. The machine downloads nothing. Its user needs `sudo` ' +
    'without a password, or is root. Run again with a new invitation, it installs the version at hand.',
  options: {
    ...newNodeOptions,
    name: value(
      '--name <name>',
      "the node's id, which is invited; default: the machine's host name, unless another node has it",
      string,
    ),
    sshConfig: value('--ssh-config <file>', 'configuration for `ssh` instead of yours', string),
    bundle: value('--bundle <file>', 'package; default: the one of this version in this folder', string),
    ...connectionOptions,
  },
  examples: [
    ['node install pi@192.168.1.21', 'invites the machine by its host name, and installs it'],
    [
      'node install pi@kitchen.local --join tessera1.eyJz... --bundle tessera.deb',
      'with an invitation of somebody else',
    ],
  ],
  async run({ args, options, json, out, signal, config: loadConfig }) {
    const remote = { destination: args[0]!, config: options.sshConfig };
    if (!/^[\w.@:[\]%+-]+$/.test(remote.destination) || remote.destination.startsWith('-'))
      throw new TesseraError('TESSERA_USAGE', `${JSON.stringify(remote.destination)} is no destination of ssh`, {
        hint: 'expected USER@HOST',
      });
    const [{ givenTokens, newNodes }, { installAgent, lookAtMachine }, { readPackage }, { packageVersion }] =
      await Promise.all([
        import('../new-nodes.ts'),
        import('../ssh/remote-install.ts'),
        import('../read-package.ts'),
        import('../../shared/runtime/version.ts'),
      ]);
    const given = await givenTokens(options.join, options.joinFile);
    if (given.length > 1)
      throw new TesseraError('TESSERA_USAGE', `${given.length} tokens are given for one machine`, { hint: 'give one' });
    const loaded = await loadConfig(await connectionSettings(options));
    const { arch, host, member } = await lookAtMachine(remote);
    const debian = await readPackage(options.bundle ?? `tessera-${packageVersion()}-linux-${arch}.deb`, arch);
    // Many machines have the host name of their image: another one than the node itself does not take its place unasked.
    const onlyNew = options.name === undefined && member !== host;
    const made = await newNodes({ given, names: [options.name ?? host], onlyNew, wait: options.wait }, loaded);
    try {
      const [{ token, invitation }] = made.tokens as [(typeof made.tokens)[number]];
      await installAgent(remote, token, debian);
      if (json) out.json({ destination: remote.destination, node: invitation.user, arch });
      else out.line(`${remote.destination}: node ${invitation.user} is installed and joins ${invitation.server}`);
      if (!options.wait) return 0;
      const check = `Look at its log: ssh ${remote.destination} journalctl -u tessera-agent`;
      return (await made.untilOnline(check, out, json, signal)) ? 0 : 1;
    } finally {
      await made.close();
    }
  },
});
