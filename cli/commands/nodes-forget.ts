import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flag } from '../options.ts';

/** `tessera nodes forget ID`: clears what the broker keeps of a node. */
export const command = defineCommand({
  arguments: '<id>',
  description:
    'Removes the retained messages of a node that will not come back (its status, info, health and update). A node ' +
    'that comes back announces itself again.',
  options: { ...connectionOptions, force: flag('--force', 'also a node that is online') },
  examples: [['nodes forget pi-3', '`tessera nodes` lists pi-3 no longer']],
  async run({ args, options, out, signal, config: loadConfig }) {
    const id = args[0]!;
    const { config } = await loadConfig(await connectionSettings(options));
    const [{ connectCommand, openLog }, { topics }, { readFleet }] = await Promise.all([
      import('../connect.ts'),
      import('../../shared/protocol/topics.ts'),
      import('../read-fleet.ts'),
    ]);
    const names = topics(config.mqtt.base_topic);
    const bus = await connectCommand(config, 'nodes', await openLog(config, 'nodes'));
    try {
      const { nodes, hidden } = await readFleet(bus, names, { heartbeats: false, signal });
      if (hidden.has('nodes')) throw hidden.get('nodes');
      const node = nodes.find((one) => one.id === id);
      if (node === undefined) {
        throw new TesseraError('TESSERA_USAGE', `the broker knows no node ${JSON.stringify(id)}`, {
          hint: nodes.length === 0 ? 'it knows none' : `it knows ${nodes.map((one) => one.id).join(', ')}`,
        });
      }
      if (node.online && !options.force) {
        throw new TesseraError('TESSERA_USAGE', `node ${id} is online`, {
          hint: 'stop its agent first, or say --force',
        });
      }
      for (const name of ['nodeStatus', 'nodeInfo', 'nodeHealth', 'nodeUpdate', 'nodeVersion'] as const)
        await bus.publish(names[name](id), '', { qos: 1, retain: true });
      out.note(`node ${id} is forgotten`);
      return 0;
    } finally {
      await bus.stop();
    }
  },
});
