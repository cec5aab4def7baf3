import { type Command, defineCommand } from './command.ts';
import { connectionOptions, connectionSettings } from './options.ts';

/** The command that drains a node, or the one that ends it. `said`: what is said of the node then. */
export function drainCommand({
  drained,
  said,
  description,
  examples,
}: Pick<Command, 'description' | 'examples'> & { readonly drained: boolean; readonly said: string }): Command {
  return defineCommand({
    arguments: '<id>',
    description,
    options: connectionOptions,
    examples,
    async run({ args, options, json, out, config: loadConfig }) {
      const node = args[0]!;
      const { config } = await loadConfig(await connectionSettings(options));
      const [{ connectCommand, openLog }, { topics }, { askRequest }, { nodeDrained }] = await Promise.all([
        import('./connect.ts'),
        import('../shared/protocol/topics.ts'),
        import('../shared/runtime/requests.ts'),
        import('../shared/protocol/messages/requests.ts'),
      ]);
      const bus = await connectCommand(config, 'node', await openLog(config, 'node'));
      try {
        const asked = { node, drained };
        const done = await askRequest(bus, topics(config.mqtt.base_topic), 'node-drain', asked, nodeDrained);
        if (json) out.json(done);
        else out.note(`node ${node} ${said}`);
        return 0;
      } finally {
        await bus.stop();
      }
    },
  });
}
