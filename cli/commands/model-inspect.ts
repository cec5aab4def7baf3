import { defineCommand } from '../command.ts';
import { value } from '../options.ts';
import { parseShape } from '../shape.ts';

/** `tessera model inspect MODEL`: layers, shapes, cost, cut points, and where tiles end and why. */
export const command = defineCommand({
  arguments: '<model>',
  description:
    'Shows what a network is made of: each operator with its output shape, bytes, multiply-adds and weights; the cut ' +
    'points, where one tensor alone carries everything on; and how far tiles reach from the input, with the operators ' +
    'that end them and the reason. MODEL is an .onnx file, a model folder, or a name from the library.',
  options: {
    inputShape: value(
      '--input-shape <shape>',
      'shape of the input where the file leaves it open, 1x3x224x224',
      parseShape,
    ),
  },
  examples: [
    ['model inspect scenes', 'the bundled network'],
    ['model inspect yolo.onnx --input-shape 1x3x640x640 --json', 'one object, for programs'],
  ],
  async run({ args, options, json, out, config: loadConfig }) {
    const { config } = await loadConfig();
    const [{ loadModel }, { loadModelFile }, { resolveModel }, { modelFolders }, { inspectModel, inspectionLines }] =
      await Promise.all([
        import('../library/library.ts'),
        import('../../shared/runtime/package.ts'),
        import('../../shared/onnx/resolve.ts'),
        import('../models.ts'),
        import('../inspection.ts'),
      ]);
    const { card, modelPath } = await loadModel(args[0]!, modelFolders(config));
    const model = await loadModelFile(modelPath);
    const shape = options.inputShape ?? card.input.shape;
    const first = model.graph.inputs[0]?.name;
    const inputShapes = shape === undefined || first === undefined ? {} : { inputShapes: { [first]: shape } };
    const exits = card.exits.map(({ tensor }) => tensor);
    const inspected = inspectModel(resolveModel(model, inputShapes), exits);
    if (json) {
      out.json({ name: card.name, model: modelPath, ...inspected });
      return 0;
    }
    out.line(`${card.name}  ${modelPath}`);
    for (const line of inspectionLines(inspected)) out.line(line);
    return 0;
  },
});
