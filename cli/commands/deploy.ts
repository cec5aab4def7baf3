import { TesseraError } from '../../shared/errors.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flag, value } from '../options.ts';

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
    const [{ deploy, deployedLines }, { readPlanFile }] = await Promise.all([
      import('../deploy.ts'),
      import('../plan-file.ts'),
    ]);
    const { model } = options;
    const deployed = await deploy(config, 'deploy', {
      ...(model === undefined ? {} : { model }),
      ...(file === undefined ? {} : { plan: await readPlanFile(file) }),
    });
    if (json) out.json(deployed);
    else for (const line of deployedLines(deployed)) out.note(line);
    return 0;
  },
});
