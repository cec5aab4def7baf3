import { defineCommand } from '../command.ts';

/** `tessera model remove NAME`: a model out of the library. */
export const command = defineCommand({
  arguments: '<name>',
  description:
    'Removes a model from the library: its folder in models.dir of the configuration, or the .onnx file there with the ' +
    'card and labels of the same name. Models that come with Tessera, and files elsewhere, are not touched. A central ' +
    'that runs keeps serving the model until it is started again.',
  options: {},
  examples: [['model remove resnet', 'undoes `model add resnet.onnx`']],
  async run({ args, json, out, config: loadConfig }) {
    const { config } = await loadConfig();
    const [{ removeModel }, { modelFolders }] = await Promise.all([
      import('../library/remove.ts'),
      import('../models.ts'),
    ]);
    const removed = await removeModel(args[0]!, { dir: config.models.dir, ...modelFolders(config) });
    if (json) out.json({ name: args[0]!, removed });
    else for (const path of removed) out.line(`removed ${path}`);
    return 0;
  },
});
