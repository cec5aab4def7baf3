import type { ModelCard } from './card.ts';

/** A card as plain data, its keys in the order of model.yaml; keys that have no effect for this model are left out. */
export function cardDocument(card: ModelCard): Record<string, unknown> {
  const { input, output, tiles, calibrated, exits, accuracy, labels } = card;
  const said = <T>(key: string, value: T | undefined, worth = value !== undefined) => (worth ? { [key]: value } : {});
  return {
    version: card.version,
    name: card.name,
    model: card.model,
    ...said('sha256', card.sha256),
    ...said('license', card.license),
    ...said('source', card.source),
    ...said('note', card.note),
    task: card.task,
    input: {
      ...said('tensor', input.tensor),
      ...said('shape', input.shape),
      layout: input.layout,
      color: input.color,
      resize: input.resize,
      ...said('crop', input.crop, input.resize === 'crop'),
      scale: input.scale,
      mean: input.mean,
      std: input.std,
    },
    output: {
      decoder: output.decoder,
      ...said('tensors', output.tensors, output.tensors.length > 0),
      score_threshold: output.score_threshold,
      ...said('iou_threshold', output.iou_threshold, card.task === 'detect'),
      ...said('background', output.background, output.background !== null),
      ...said('classes', output.classes),
      ...said('boxes', output.boxes),
      ...said('priors', output.priors),
      ...said('fields', output.fields),
    },
    ...said('labels', labels),
    ...said('tiles', tiles, tiles.length > 0),
    ...said('calibrated', calibrated, calibrated.length > 0),
    ...said('exits', exits, exits.length > 0),
    ...said('accuracy', accuracy, Object.keys(accuracy).length > 0),
  };
}
