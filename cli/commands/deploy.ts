import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flag, value } from '../options.ts';

/** Central answers within 60 s (central.ts); the rest is for the way there and back. */
const ANSWER_MS = 70_000;

/** `tessera deploy FILE | --previous`: has central put a plan to work. */
export const command = defineCommand({
  arguments: '[file]',
  description:
    'Has central serve a model with the plan in FILE, or with the plan before it. Frames under way keep their plan; new ' +
    'ones get the new one as soon as its nodes are ready. Central keeps it when it is restarted.',
  options: {
    ...connectionOptions,
    previous: flag('--previous', 'back to the plan before the last one that was deployed'),
    model: value('--model <name>', 'the model, where central serves several that fit', (name) => name),
  },
  examples: [
    ['deploy plan.json', 'the plan in plan.json serves the model that it is for'],
    ['deploy --previous', 'back to the plan before it'],
  ],
  async run({ args, options, json, out, config: loadConfig }) {
    const [file] = args;
    if ((file === undefined) !== options.previous)
      throw new TesseraError('TESSERA_USAGE', 'deploy needs either a plan file or --previous', {
        hint: '`tessera schema plan` prints the form of a plan',
      });
    const { config } = await loadConfig(await connectionSettings(options));
    const [{ connectCommand, openLog }, { topics }, { askRequest }, { deployedAnswer }, { readPlanFile }] =
      await Promise.all([
        import('../connect.ts'),
        import('../../shared/protocol/topics.ts'),
        import('../../shared/runtime/requests.ts'),
        import('../../shared/protocol/messages/requests.ts'),
        import('../plan-file.ts'),
      ]);
    const { model } = options;
    const request = {
      ...(model === undefined ? {} : { model }),
      ...(file === undefined ? {} : { plan: await readPlanFile(file) }),
    };
    const bus = await connectCommand(config, 'deploy', await openLog(config, 'deploy'));
    try {
      const names = topics(config.mqtt.base_topic);
      const deployed = await askRequest(bus, names, 'deploy', request, deployedAnswer, ANSWER_MS);
      if (json) out.json(deployed);
      else {
        const { ready, refused } = deployed;
        const who = ready.length === 0 ? 'no node agent is ready for it' : `ready: ${ready.join(', ')}`;
        out.note(`model ${deployed.model}: plan ${deployed.plan} serves new frames; ${who}`);
        for (const { node, text } of refused) out.note(`node ${node} refuses it: ${text}`);
      }
      return 0;
    } finally {
      await bus.stop();
    }
  },
});
