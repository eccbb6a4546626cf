// Enlarge an alpha and fit its edges to the photo, as mmnet predict does (mmnet/matting/refine.py):
// a guided filter with a colour guide, whose coefficients are computed at the size of the alpha.
import { positions, reflect } from "./mmnet.js";

const RADIUS = 0.0075; // radius of the filter window, as a fraction of the longer side
const SMOOTHNESS = 1e-3; // epsilon of the guided filter, for colours 0..1
const EDGE_LOGIT_SCALE = 1.5; // sharpens before and after the filter: resizing has blurred the alpha
const SOFT_LIMIT = 1 / 255; // an alpha closer to 0 or 1 is not changed

// Return the alpha of `image` (ImageData), 0..1, from the alpha of `small`, the same photo (ImageData), 0..1.
export function enlarge(alpha, small, image) {
  const coarse = alpha.map(scaleLogits), planes = fitColours(coarse, small);
  const [above, below, down] = centres(small.height, image.height), [left, right, across] = centres(small.width, image.width);
  const result = new Float32Array(image.width * image.height);
  for (let y = 0, to = 0; y < image.height; y++) {
    const rows = [coarse, ...planes].map((plane) => blendRows(plane, small.width, above[y], below[y], down[y]));
    for (let x = 0; x < image.width; x++, to++) {
      const blend = (row) => row[left[x]] + across[x] * (row[right[x]] - row[left[x]]);
      let value = blend(rows[0]);
      if (isSoft(value)) {
        const [red, green, blue] = [0, 1, 2].map((c) => image.data[4 * to + c] / 255);
        const fitted = scaleLogits(blend(rows[1]) * red + blend(rows[2]) * green + blend(rows[3]) * blue + blend(rows[4]));
        // The fit is meaningful only if the fitted or the given alpha is soft.
        value += 4 * Math.min(0.25, fitted * (1 - fitted) + value * (1 - value)) * (fitted - value);
      }
      result[to] = value;
    }
  }
  return result;
}

function blendRows(plane, width, above, below, weight) {
  const row = new Float32Array(width);
  for (let x = 0; x < width; x++) row[x] = plane[above * width + x] * (1 - weight) + plane[below * width + x] * weight;
  return row;
}

// Fit alpha to the colours near each soft pixel: planes of the coefficients of red, green and blue, and of the offset.
function fitColours(alpha, { data, width, height }) {
  const radius = Math.max(1, Math.round(RADIUS * Math.max(width, height)));
  const plane = (value) => {
    const result = new Float32Array(alpha.length);
    for (let k = 0; k < alpha.length; k++) result[k] = value(k);
    return result;
  };
  const mean = (value) => blur(plane(value), width, height, radius);
  const guide = [0, 1, 2].map((c) => plane((k) => data[4 * k + c] / 255));
  const near = mean((k) => Number(isSoft(alpha[k]))), meanAlpha = mean((k) => alpha[k]);
  const means = guide.map((channel) => mean((k) => channel[k]));
  const products = guide.map((channel) => mean((k) => channel[k] * alpha[k]));
  const pairs = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]];
  const squares = pairs.map(([i, j]) => mean((k) => guide[i][k] * guide[j][k]));
  const planes = [0, 1, 2, 3].map(() => new Float32Array(alpha.length));
  for (let k = 0; k < alpha.length; k++) {
    if (near[k] < 1e-6) continue; // no soft pixel in the window
    const matrix = pairs.map(([i, j], n) => squares[n][k] - means[i][k] * means[j][k] + (i === j ? SMOOTHNESS : 0));
    const slope = solve(matrix, products.map((product, c) => product[k] - means[c][k] * meanAlpha[k]));
    planes[3][k] = meanAlpha[k];
    for (let c = 0; c < 3; c++) {
      planes[c][k] = slope[c];
      planes[3][k] -= slope[c] * means[c][k];
    }
  }
  return planes.map((coefficients) => blur(coefficients, width, height, radius));
}

// Solve a symmetric system of three equations, whose matrix has the upper triangle [a, b, c, d, e, f], by Cramer's rule.
function solve([a, b, c, d, e, f], [x, y, z]) {
  const p = d * f - e * e, q = c * e - b * f, r = b * e - c * d;
  const s = a * f - c * c, t = b * c - a * e, u = a * d - b * b, determinant = a * p + b * q + c * r;
  return [p * x + q * y + r * z, q * x + s * y + t * z, r * x + t * y + u * z].map((value) => value / determinant);
}

// Average over a square window. The image is mirrored at its borders.
function blur(plane, width, height, radius) {
  const rows = blurLines(plane, height, width, width, 1, radius);
  return blurLines(rows, width, 1, height, width, radius);
}

// Average along lines. `start`: distance of the first pixels of two lines; `step`: distance of two pixels of a line.
function blurLines(plane, lines, start, length, step, radius) {
  const result = new Float32Array(plane.length), size = 2 * radius + 1;
  const offsets = Int32Array.from({ length: length + 2 * radius }, (_, k) => step * reflect(k - radius, length));
  for (let line = 0; line < lines; line++) {
    const first = line * start;
    let sum = 0;
    for (let k = 0; k < 2 * radius; k++) sum += plane[first + offsets[k]];
    for (let k = 0; k < length; k++) {
      sum += plane[first + offsets[k + 2 * radius]];
      result[first + k * step] = sum / size;
      sum -= plane[first + offsets[k]];
    }
  }
  return result;
}

// Positions of the centres of `after` pixels among `before` pixels.
function centres(before, after) {
  return positions(before, after, (k) => Math.min(Math.max(0, ((k + 0.5) * before) / after - 0.5), before - 1));
}

function isSoft(alpha) {
  return alpha > SOFT_LIMIT && alpha < 1 - SOFT_LIMIT;
}

// Multiply the logits (log odds) of an alpha by EDGE_LOGIT_SCALE.
function scaleLogits(alpha) {
  const foreground = Math.min(Math.max(0, alpha), 1) ** EDGE_LOGIT_SCALE;
  const background = (1 - Math.min(Math.max(0, alpha), 1)) ** EDGE_LOGIT_SCALE;
  return foreground / (foreground + background);
}
