/** Lists of labels that are part of the package, by the name that `labels` of a card may give. */
export const NAMED_LABELS = {
  'imagenet-1k': { classes: 1000, file: 'imagenet-1k.txt', first: [] },
  /** The same with a background class in front. */
  'imagenet-1001': { classes: 1001, file: 'imagenet-1k.txt', first: ['background'] },
  coco: { classes: 80, file: 'coco.txt', first: [] },
  'coco-81': { classes: 81, file: 'coco.txt', first: ['background'] },
} as const satisfies Record<string, { classes: number; file: string; first: readonly string[] }>;
export type NamedLabels = keyof typeof NAMED_LABELS;

/** Whether a card's `labels` is the name of such a list, not of a file. */
export function isNamedLabels(name: string): name is NamedLabels {
  return Object.hasOwn(NAMED_LABELS, name);
}

/**
 * The most likely list for a network of so many classes; `background` is the index of its background class, if it has
 * one.
 */
export function listOfClasses(count: number | undefined, background: number | null): NamedLabels | undefined {
  // A background class behind the others needs no label.
  const labelled = background !== null && count !== undefined && background === count - 1 ? background : count;
  return (Object.keys(NAMED_LABELS) as NamedLabels[]).find((name) => {
    const { classes, first } = NAMED_LABELS[name];
    return classes === labelled && (first.length === 1) === (background === 0);
  });
}
