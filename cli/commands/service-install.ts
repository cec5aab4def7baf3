import { defineCommand } from '../command.ts';
import { flag, oneOf, string, value } from '../options.ts';
import { SERVICES } from '../service/unit.ts';

/** The file with the token of an agent's service. */
const JOIN_FILE = '/etc/tessera/agent.join';

/** `tessera service install SERVICE`: a systemd service that starts with the machine. */
export const command = defineCommand({
  arguments: '<service>',
  description:
    'Makes a systemd service of agent, central or broker, starts it, and lets it start with the machine. It runs as a ' +
    'user of its own, may write its state directory and nothing else, and is restarted when its event loop or its ' +
    'inference thread no longer answers. It reads /etc/tessera/tessera.yaml. Needs root.',
  options: {
    joinFile: value(
      '--join-file <file>',
      'for an agent: a file with an invitation; a copy is kept for root only',
      string,
    ),
    later: flag('--later', 'start it with the machine, not now'),
    print: flag('--print', 'print the unit, and change nothing'),
  },
  examples: [
    ['service install agent --join-file token', 'a node that joins by an invitation'],
    ['service install broker --print', 'shows what would be installed'],
  ],
  async run({ args, options, out }) {
    const service = oneOf(...SERVICES)(args[0]!, '<service>');
    const { TesseraError } = await import('../../shared/errors.ts');
    if (options.joinFile !== undefined && service !== 'agent')
      throw new TesseraError('TESSERA_USAGE', '--join-file is for an agent', { hint: 'leave it out' });
    const [{ unitName, unitText }, { systemctl, unitFile }, { programWords }] = await Promise.all([
      import('../service/unit.ts'),
      import('../service/systemd.ts'),
      import('../service/program.ts'),
    ]);
    const joinFile = options.joinFile === undefined ? undefined : JOIN_FILE;
    const text = unitText({ service, command: programWords(), joinFile });
    if (options.print) {
      out.line(text.trimEnd());
      return 0;
    }
    const { writeWhole } = await import('../../shared/runtime/whole-file.ts');
    if (options.joinFile !== undefined) {
      const [{ readText }, { makePath }] = await Promise.all([
        import('../../shared/runtime/file.ts'),
        import('../../shared/runtime/make-path.ts'),
      ]);
      makePath('/etc/tessera', 0o755);
      await writeWhole({ what: 'the join token', path: JOIN_FILE }, await readText(options.joinFile));
    }
    await writeWhole({ what: 'the unit', path: unitFile(service), mode: 0o644 }, text);
    await systemctl('daemon-reload');
    await systemctl('enable', unitName(service));
    if (options.later) {
      out.note(`${unitName(service)} starts with the machine`);
      return 0;
    }
    await systemctl('restart', unitName(service));
    out.note(`${unitName(service)} runs; \`journalctl -u ${unitName(service)}\` shows its log`);
    return 0;
  },
});
