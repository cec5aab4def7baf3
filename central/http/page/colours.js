/** Colours that are told apart also by people who see fewer of them (Okabe and Ito), in light and in dark. */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#b8a800', '#8c6bb1'];

/**
 * The colour of a node: by its place among all nodes, so that it stays while these stay.
 * @param {string} node
 * @param {readonly string[]} nodes
 */
export function colourOf(node, nodes) {
  if (node === 'central') return '#808080';
  const others = nodes.filter((one) => one !== 'central').sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return COLOURS[Math.max(0, others.indexOf(node)) % COLOURS.length];
}
