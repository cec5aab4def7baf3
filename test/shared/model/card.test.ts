import { describe, expect, it } from 'vitest';
import { normalisation, parseCard, pictureShape } from '../../../shared/model/card.ts';
import { cardDocument } from '../../../shared/model/card-document.ts';
import { cardSchema } from '../../../shared/model/card-schema.ts';

const least = { name: 'person', task: 'classify' };
const problem = (value: unknown) => {
  try {
    parseCard(value, 'models/person/model.yaml');
  } catch (error) {
    return error as { code: string; message: string; hint: string };
  }
  throw new Error('the card was accepted');
};

describe('parseCard', () => {
  it('fills in every default, so that a card of two lines works', () => {
    expect(parseCard(least, 'x')).toEqual({
      version: 1,
      name: 'person',
      model: 'model.onnx',
      task: 'classify',
      input: { layout: 'nchw', color: 'rgb', resize: 'stretch', crop: 0.875, scale: 255, mean: [], std: [] },
      output: { decoder: 'softmax', tensors: [], score_threshold: 0.5, iou_threshold: 0.45, background: null },
      tiles: [],
      calibrated: [],
      exits: [],
      accuracy: {},
    });
  });

  it('takes a one-channel input for grey unless told otherwise', () => {
    expect(parseCard({ ...least, input: { shape: [1, 1, 28, 28] } }, 'x').input.color).toBe('gray');
    expect(parseCard({ ...least, input: { shape: [1, 28, 28, 1], layout: 'nhwc' } }, 'x').input.color).toBe('gray');
    expect(parseCard({ ...least, task: 'image', input: { shape: [1, 1, 9, 9], color: 'y' } }, 'x').input.color).toBe(
      'y',
    );
  });

  it('reads the example of the design', () => {
    const card = {
      version: 1,
      name: 'person',
      model: 'model.onnx',
      task: 'classify',
      input: {
        tensor: 'input',
        shape: [1, 3, 224, 224],
        layout: 'nchw',
        color: 'rgb',
        resize: 'crop',
        crop: 0.875,
        scale: 255,
        mean: [],
        std: [],
      },
      output: { decoder: 'softmax', tensors: [], score_threshold: 0.5, iou_threshold: 0.45, background: null },
      labels: 'labels.txt',
      tiles: [{ after: 'tensor', grid: [4, 4], padding: 'zero', clip: [0.2, 2.0], bits: 4 }],
      calibrated: [{ codecs: { tensor: 'q8' }, agreement: 0.995, pictures: 200, bytes: 9000 }],
      exits: [{ tensor: 't', threshold: 0.9 }],
      accuracy: { dataset: 'name', whole: 0.93, tiled: 0.92 },
    };
    expect(parseCard(card, 'x')).toEqual(card);
  });

  it('names the file, the nearest key and the known ones for an unknown key, at every depth', () => {
    const error = problem({ ...least, input: { colour: 'rgb' } });
    expect(error.code).toBe('TESSERA_MODEL_CARD');
    expect(error.message).toContain('models/person/model.yaml: input: unknown key "colour", did you mean "color"?');
    expect(error.message).toContain('known keys: tensor, shape, layout');
    expect(error.hint).toContain('tessera schema model');
    expect(problem({ ...least, taks: 'x' }).message).toContain('did you mean "task"?');
    expect(problem({ ...least, tiles: [{ after: 'a', grid: [2, 2], pading: 'zero' }] }).message).toContain(
      'tiles[0]: unknown key "pading", did you mean "padding"?',
    );
  });

  it.each([
    [{ ...least, input: { color: 'rbg' } }, /input\.color: "rbg" given: .*"rgb"\|"bgr"\|"gray"\|"y"/],
    [{ ...least, input: { shape: [1, 3, 0, 2] } }, /input\.shape\[2\]: 0 given/],
    [{ ...least, input: { shape: [1, 3] } }, /input\.shape: \[1,3\] given: expected four sizes/],
    [{ ...least, input: { shape: [1, 224, 224, 3] } }, /layout nchw makes that 224 channels, color rgb has 3/],
    [{ ...least, input: { mean: [1, 2] } }, /input\.mean: \[1,2\] given: expected 1 or 3 numbers/],
    [{ ...least, input: { std: [0] } }, /input\.std\[0\]: 0 given/],
    [{ ...least, input: { scale: 0 } }, /input\.scale: 0 given/],
    [{ ...least, name: 'a b' }, /name: "a b" given: expected 1 to 64/],
    [{ name: 'a' }, /task: missing/],
    [{ ...least, task: 'detect' }, /output\.decoder: missing: a detect model needs one of fastestdet/],
    [
      { ...least, output: { decoder: 'yolo' } },
      /output\.decoder: "yolo" given: task classify accepts softmax, logits, none/,
    ],
    [{ ...least, labels: 5 }, /labels: 5 given: expected a file name or a list of names/],
    [
      { ...least, tiles: [{ after: 'a', grid: [2, 2], clip: [2, 1] }] },
      /tiles\[0\]\.clip: \[2,1\] given: .*low < high/,
    ],
    [
      { name: 'n', task: 'detect', output: { decoder: 'yolo' }, exits: [{ tensor: 't', threshold: 0.5 }] },
      /exits: only a classify model with decoder softmax or logits can have exits; this is detect, yolo/,
    ],
    [{ ...least, exits: [{ tensor: 't', threshold: 1.5 }] }, /exits\[0\]\.threshold: 1\.5 given/],
    [
      { ...least, exits: [0.5, 0.9].map((threshold) => ({ tensor: 't', threshold })) },
      /exits\[1\]\.tensor: "t" given a second time/,
    ],
    [
      { ...least, output: { tensors: ['t'] }, exits: [{ tensor: 't', threshold: 0.5 }] },
      /exits\[0\]\.tensor: "t" is one of output\.tensors/,
    ],
    [{ ...least, sha256: 'AB' }, /sha256: "AB" given: expected 64/],
    ['text', /card: "text" given/],
    [
      { ...least, calibrated: [{ codecs: { a: 'clip:2:1:4' }, agreement: 1, pictures: 1, bytes: 1 }] },
      /calibrated\[0\]\.codecs\.a: "clip:2:1:4" given: expected a codec: raw, packed/,
    ],
    [
      { ...least, calibrated: [{ codecs: {}, agreement: 1, pictures: 1, bytes: 1 }] },
      /calibrated\[0\]\.codecs: \{\} given: expected at least one tensor/,
    ],
    [null, /card: null given/],
  ])('reports the fault of %j', (card, message) => {
    expect(problem(card).message).toMatch(message);
  });

  it('keeps a value as a card writes it when it is written and read again', () => {
    const card = parseCard(
      {
        ...least,
        task: 'detect',
        input: { shape: [1, 3, 8, 8], resize: 'crop' },
        output: { decoder: 'ssd', background: 0 },
        labels: ['a'],
      },
      'x',
    );
    expect(parseCard(cardDocument(card), 'y')).toEqual(card);
  });

  it('documents every field in the order of the schema, so that none is lost on writing', () => {
    const everything = {
      version: 1,
      name: 'n',
      model: 'm',
      sha256: '0'.repeat(64),
      license: 'MIT',
      source: 's',
      note: 'n',
      task: 'detect',
      input: {
        tensor: 't',
        shape: [1, 3, 8, 8],
        layout: 'nchw',
        color: 'bgr',
        resize: 'crop',
        crop: 0.5,
        scale: 1,
        mean: [1],
        std: [2],
      },
      output: { decoder: 'yolo', tensors: ['o'], score_threshold: 0.1, iou_threshold: 0.2, background: 3 },
      labels: 'l',
      tiles: [{ after: 'a', grid: [2, 2], padding: 'zero' }],
      calibrated: [{ codecs: { a: 'clip:0:2:4' }, agreement: 0.99, pictures: 200, bytes: 1000 }],
      exits: [{ tensor: 't', threshold: 0.5 }],
      accuracy: { a: 1 },
    };
    expect(Object.keys(everything)).toEqual(Object.keys(cardSchema.shape));
    // No single task has all of them.
    const { exits, ...detect } = everything;
    expect(cardDocument(parseCard(detect, 'x'))).toEqual(detect);
    const classify = { ...least, exits };
    expect(cardDocument(parseCard(classify, 'x'))).toMatchObject(classify);
  });
});

describe('normalisation', () => {
  const of = (input: object) => normalisation(parseCard({ ...least, input }, 'x').input);

  it('spreads one value over all channels and fills none with 0 and 1', () => {
    expect(of({ mean: [0.5], scale: 1 })).toEqual({ scale: 1, mean: [0.5, 0.5, 0.5], std: [1, 1, 1] });
    expect(of({ color: 'gray', std: [2] })).toEqual({ scale: 255, mean: [0], std: [2] });
    expect(of({ mean: [1, 2, 3] }).mean).toEqual([1, 2, 3]);
  });
});

describe('pictureShape', () => {
  it('reads both layouts and refuses other ranks', () => {
    expect(pictureShape([1, 3, 240, 320], 'nchw')).toEqual({ channels: 3, height: 240, width: 320 });
    expect(pictureShape([1, 240, 320, 3], 'nhwc')).toEqual({ channels: 3, height: 240, width: 320 });
    expect(pictureShape([3, 240, 320], 'nchw')).toBeUndefined();
  });
});

describe('output.fields', () => {
  const fields = (fields: readonly string[]) =>
    parseCard({ name: 'a', task: 'detect', output: { decoder: 'end2end', fields } }, 'card').output.fields;

  it('must have the position of a box (corners, or centre and size) and its score', () => {
    expect(fields(['cx', 'cy', 'w', 'h', 'score'])).toHaveLength(5);
    expect(() => fields(['x1', 'y1', 'x2', 'y2', 'class'])).toThrow(/"score" is missing/);
    expect(() => fields(['cx', 'cy', 'w', 'y2', 'score'])).toThrow(/"h" is missing/);
    expect(() => fields(['cx', 'cy', 'w', 'h', 'x1', 'score'])).toThrow(/"x1" beside a centre/);
    expect(() => fields(['x1', 'y1', 'x2', 'y2', 'score', 'score'])).toThrow(/"score" is there twice/);
  });

  it('and other keys that a decoder does not read are refused', () => {
    for (const [key, value] of Object.entries({ classes: 1, boxes: 'xyxy', fields: ['x1', 'y1', 'x2', 'y2', 'score'] }))
      expect(() =>
        parseCard({ name: 'a', task: 'detect', output: { decoder: 'fastestdet', [key]: value } }, 'card'),
      ).toThrow(`output.${key}: has no effect with decoder fastestdet`);
  });
});
