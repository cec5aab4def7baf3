import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flag } from '../options.ts';
import { withOwnCommand } from '../own-command.ts';

/** `tessera doctor`: finds faults of this machine or deployment, and how to fix them. */
export const command = defineCommand({
  description:
    'Checks this machine (runtime, pictures, memory, clock, state directory, configuration, ports) and, where a broker ' +
    'is configured or answers, the deployment: access rights, packet size, round trips, retained messages, central and ' +
    'every node. Prints how to fix each finding. Exit code 1 when something must be fixed. It changes nothing; ' +
    'run it as the user and with the configuration of the service to be checked.',
  options: {
    ...connectionOptions,
    local: flag('--local', 'this machine only'),
  },
  examples: [
    ['doctor', 'this machine, and the broker of its configuration'],
    ['doctor --broker mqtt://192.168.1.10', 'a deployment from any machine'],
    ['doctor --local --json', 'this machine, an object for each check'],
  ],
  async run({ options, json, out, signal, config: load }) {
    const flags = await connectionSettings(options);
    const [{ reportLines }, { examine }] = await Promise.all([
      import('../doctor/check.ts'),
      import('../doctor/examine.ts'),
    ]);
    const checks = await examine({ load: () => load(flags), flags, local: options.local, signal });
    if (json) for (const check of checks) out.json(check);
    else for (const line of reportLines(checks)) out.line(withOwnCommand(line));
    return checks.some(({ status }) => status === 'fail') ? 1 : 0;
  },
});
