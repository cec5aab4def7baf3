import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings } from '../options.ts';

/** `tessera node readmit ID`: has central give work again to a node that it left out. */
export const command = defineCommand({
  arguments: '<id>',
  description:
    'Gives work again to a node that central left out because it answered wrongly, without a restart of its agent. ' +
    'Central audits its first results again, and leaves it out again where they are wrong.',
  options: connectionOptions,
  examples: [['node readmit pi-3', 'pi-3 was repaired and gets work again']],
  async run({ args, options, json, out, config: loadConfig }) {
    const node = args[0]!;
    const { config } = await loadConfig(await connectionSettings(options));
    const [{ connectCommand, openLog }, { topics }, { askRequest }, { nodeReadmitted }] = await Promise.all([
      import('../connect.ts'),
      import('../../shared/protocol/topics.ts'),
      import('../../shared/runtime/requests.ts'),
      import('../../shared/protocol/messages/requests.ts'),
    ]);
    const bus = await connectCommand(config, 'node', await openLog(config, 'node'));
    try {
      await askRequest(bus, topics(config.mqtt.base_topic), 'node-readmit', { node }, nodeReadmitted);
      if (json) out.json({ node });
      else out.note(`node ${node} gets work again`);
      return 0;
    } finally {
      await bus.stop();
    }
  },
});
