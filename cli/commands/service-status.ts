import { defineCommand } from '../command.ts';
import { SERVICES } from '../service/unit.ts';

const PROPERTIES = ['ActiveState', 'SubState', 'Result', 'NRestarts', 'MainPID', 'ActiveEnterTimestamp'] as const;

/** `tessera service status`: how the services of this machine are. */
export const command = defineCommand({
  description:
    'Shows the installed services of this machine: state, restarts since their start, process, and since when. Exit ' +
    'code 1 when one of them does not run, or none is installed.',
  options: {},
  examples: [['service status', 'every service that `service install` made']],
  async run({ json, out }) {
    const [{ existsSync }, { systemctl, unitFile }, { unitName }] = await Promise.all([
      import('node:fs'),
      import('../service/systemd.ts'),
      import('../service/unit.ts'),
    ]);
    const installed = SERVICES.filter((service) => existsSync(unitFile(service)));
    if (installed.length === 0) out.note('no service is installed; `tessera service install agent` makes one');
    let running = 0;
    for (const service of installed) {
      const text = await systemctl('show', unitName(service), `--property=${PROPERTIES.join(',')}`);
      const found = new Map(text.split('\n').map((line) => [line.split('=')[0]!, line.slice(line.indexOf('=') + 1)]));
      const [state, sub, result, restarts, pid, since] = PROPERTIES.map((name) => found.get(name) ?? '');
      if (state === 'active') running += 1;
      if (json) out.json({ service, state, sub, result, restarts: Number(restarts), pid: Number(pid), since });
      else
        out.line(
          `${service}: ${state} (${sub}, ${result}), ${restarts} restarts, process ${pid}, since ${since || 'never'}`,
        );
    }
    return installed.length > 0 && running === installed.length ? 0 : 1;
  },
});
