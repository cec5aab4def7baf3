import { defineCommand } from '../command.ts';
import { oneOf } from '../options.ts';
import { SERVICES } from '../service/unit.ts';

/** `tessera service remove SERVICE`: stops it, and removes its unit. */
export const command = defineCommand({
  arguments: '<service>',
  description:
    'Stops a service and removes its unit. Its state directory stays, so that the same node comes back when the service ' +
    'is installed again. Needs root.',
  options: {},
  examples: [['service remove agent', 'this machine is no node any more']],
  async run({ args, out }) {
    const service = oneOf(...SERVICES)(args[0]!, '<service>');
    const [{ rm }, { systemctl, unitFile }, { unitName }] = await Promise.all([
      import('node:fs/promises'),
      import('../service/systemd.ts'),
      import('../service/unit.ts'),
    ]);
    await systemctl('disable', '--now', unitName(service));
    await rm(unitFile(service), { force: true });
    await systemctl('daemon-reload');
    out.note(`${unitName(service)} is removed; its state stays in /var/lib/private/tessera-${service}`);
    return 0;
  },
});
