/** A box with its class, in any unit as long as all use the same. */
export interface LabelledBox {
  readonly label: string;
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number];
}

/** One picture: its objects, and the detected ones. */
export interface PictureResult {
  readonly truth: readonly LabelledBox[];
  readonly found: readonly (LabelledBox & { readonly score: number })[];
}

function iou(a: LabelledBox['box'], b: LabelledBox['box']): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared);
}

/**
 * Detections of one class, best first, each right or wrong: right is the first with IoU >= 0.5 to an object that has no
 * detection yet.
 */
function judged(pictures: readonly PictureResult[], label: string): boolean[] {
  const taken = pictures.map(() => new Set<LabelledBox>());
  const finds = pictures.flatMap(({ found }, picture) =>
    found.filter((find) => find.label === label).map((find) => ({ ...find, picture })),
  );
  finds.sort((a, b) => b.score - a.score);
  return finds.map(({ box, picture }) => {
    const free = pictures[picture]!.truth.filter((truth) => truth.label === label && !taken[picture]!.has(truth));
    const best = free.reduce<LabelledBox | undefined>(
      (a, b) => (a === undefined || iou(b.box, box) > iou(a.box, box) ? b : a),
      undefined,
    );
    if (best === undefined || iou(best.box, box) < 0.5) return false;
    taken[picture]!.add(best);
    return true;
  });
}

/** Area under the precision envelope at the 101 recalls 0, 0.01, ... 1 (COCO's cocoeval). */
function averagePrecision(hits: readonly boolean[], positives: number): number {
  const recall: number[] = [];
  const precision: number[] = [];
  let right = 0;
  for (const [index, hit] of hits.entries()) {
    if (hit) right++;
    recall.push(right / positives);
    precision.push(right / (index + 1));
  }
  for (let i = precision.length - 2; i >= 0; i--) precision[i] = Math.max(precision[i]!, precision[i + 1]!);
  let sum = 0;
  let at = 0;
  for (let step = 0; step <= 100; step++) {
    while (at < recall.length && recall[at]! < step / 100) at++;
    sum += precision[at] ?? 0;
  }
  return sum / 101;
}

/** AP50: mean over the classes that occur of the average precision at IoU 0.5, 0 to 1. */
export function ap50(pictures: readonly PictureResult[]): number {
  const positives = new Map<string, number>();
  for (const { truth } of pictures)
    for (const { label } of truth) positives.set(label, (positives.get(label) ?? 0) + 1);
  let sum = 0;
  for (const [label, count] of positives) sum += averagePrecision(judged(pictures, label), count);
  return positives.size === 0 ? 0 : sum / positives.size;
}
