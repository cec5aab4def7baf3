import { defineCommand } from '../command.ts';
import { flag, string, value } from '../options.ts';
import { parseShape } from '../shape.ts';

/** `tessera model add SOURCE`: a model into the library. */
export const command = defineCommand({
  arguments: '<source>',
  description:
    'Puts a model into the library as a folder with model.onnx and model.yaml. SOURCE is an .onnx file, a model folder, ' +
    'a URL, or a name from the catalogue (`tessera model list` shows them; their files must have the recorded SHA-256). ' +
    'Its preprocessing and the meaning of its outputs, where the file does not contain them, are guessed and marked "# guessed" in model.yaml. ' +
    'The model is run once before it is added; a model that does not run is refused.',
  options: {
    name: value('--name <name>', 'name in the library; otherwise that of the file', string),
    inputShape: value(
      '--input-shape <shape>',
      'shape of an input without a fixed shape, such as 1x3x224x224',
      parseShape,
    ),
    force: flag('--force', 'replace a model of that name'),
  },
  examples: [
    ['model add fastestdet', 'gets a detector of everyday objects by name'],
    ['model add resnet50.onnx --name resnet', 'imports a file; then check the guesses in models/resnet/model.yaml'],
    ['model add https://example.com/net.onnx --input-shape 1x3x320x320', 'imports from an address'],
  ],
  async run({ args, options, json, out, signal, config: loadConfig }) {
    const { config } = await loadConfig();
    const [{ addModel }, { catalogueFile }, { tryModelFolder }, { openLog }] = await Promise.all([
      import('../library/add.ts'),
      import('../catalogue.ts'),
      import('../try-model.ts'),
      import('../connect.ts'),
    ]);
    const { showProgress } = await import('../progress.ts');
    const log = await openLog(config, 'model add');
    let untried: string | undefined;
    const { name, folder, card, guessedFields, taken, known } = await addModel(args[0]!, {
      dest: config.models.dir,
      catalogue: catalogueFile(),
      name: options.name,
      force: options.force,
      inputShape: options.inputShape,
      download: { progress: showProgress({ json, out }) },
      signal,
      tryOut: async (made, scratch, trials) => {
        untried = await tryModelFolder(made, scratch, { config, log, trials });
      },
    });
    if (json) out.json({ name, folder, card, guessed: guessedFields, taken: taken ?? null, known });
    else out.line(`${name}  ${card.task}  ${folder}`);
    if (taken !== undefined) out.note(`its outputs are read as ${taken}`);
    if (guessedFields.length > 0) {
      out.note(`guessed, check these in ${folder}/model.yaml: ${guessedFields.join(', ')}`);
    }
    if (known.length > 0) {
      out.note('the meaning of its outputs is not certain, so they stay raw (task: raw); what is known:');
      for (const line of known) out.note(`- ${line}`);
    }
    if (untried !== undefined) out.note(`it was not tried: ${untried}`);
    out.note(`try it: \`tessera infer PICTURE --model ${name}\``);
    return 0;
  },
});
