// Run the network in the browser: open() loads it, matte() computes the alpha of a small image, and
// enlarge() (refine.js) fits this alpha to the photo at its own size.
const RUNTIME = "./node_modules/onnxruntime-web/dist/ort.";
const MAX_ASPECT_RATIO = 2; // longer images are extended by mirroring, as in mmnet predict

// threads: WebAssembly threads. More than one needs the two headers of serve.js.
// backend: "webgpu", "wasm", or undefined: WebGPU if the browser offers a hardware adapter.
export async function open(model = "network.onnx", threads = navigator.hardwareConcurrency, backend = undefined) {
  const card = await (await fetch(model + ".json")).json();
  const [height, width] = card.network.shape;
  if (backend === "webgpu" || (!backend && (await hasGpu()))) {
    try {
      return { ...(await start("webgpu", model, threads, height, width)), height, width };
    } catch (error) {
      if (backend) throw error; // otherwise WebAssembly runs everywhere
    }
  }
  return { ...(await start("wasm", model, threads, height, width)), height, width };
}

// A software adapter is slower than WebAssembly.
async function hasGpu() {
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  } catch {
    return false;
  }
}

// Open the network and run it once, which compiles its kernels and shows that the backend works.
async function start(backend, model, threads, height, width) {
  const ort = await import(`${RUNTIME}${backend}.min.mjs`);
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, { executionProviders: [backend] });
  const run = async (pixels) => {
    const input = new ort.Tensor("float32", pixels, [1, height, width, 3]);
    return (await session.run({ input_x: input })).output.data;
  };
  await run(new Float32Array(height * width * 3));
  return { backend, run };
}

// Compute the alpha of an ImageData at its own size: Float32Array of height x width, 0..1.
export async function matte(network, image) {
  const { width, height } = image;
  const top = Math.ceil(Math.max(0, Math.round(width / MAX_ASPECT_RATIO) - height) / 2);
  const left = Math.ceil(Math.max(0, Math.round(height / MAX_ASPECT_RATIO) - width) / 2);
  const rows = mirror(corners(height + 2 * top, network.height), top, height);
  const columns = mirror(corners(width + 2 * left, network.width), left, width);
  const alpha = await network.run(sample(image.data, width, 4, 3, rows, columns));
  const up = corners(network.height, height + 2 * top).map((values) => values.subarray(top, top + height));
  const across = corners(network.width, width + 2 * left).map((values) => values.subarray(left, left + width));
  return sample(alpha, network.width, 1, 1, up, across);
}

// Positions of `after` pixels among `before` pixels, with aligned corners.
function corners(before, after) {
  const scale = after > 1 ? (before - 1) / (after - 1) : 0;
  return positions(before, after, (k) => k * scale);
}

// Place pixels: [indices, next indices, weights of the next].
export function positions(before, after, place) {
  const low = new Int32Array(after), next = new Int32Array(after), weights = new Float32Array(after);
  for (let k = 0; k < after; k++) {
    low[k] = Math.min(Math.floor(place(k)), before - 1);
    next[k] = Math.min(low[k] + 1, before - 1);
    weights[k] = place(k) - low[k];
  }
  return [low, next, weights];
}

function mirror([low, next, weights], margin, length) {
  return [low.map((k) => reflect(k - margin, length)), next.map((k) => reflect(k - margin, length)), weights];
}

export function reflect(index, length) {
  if (length === 1) return 0;
  const period = 2 * (length - 1);
  const inside = ((index % period) + period) % period;
  return inside < length ? inside : period - inside;
}

// Sample the first `count` of the `channels` of an image bilinearly.
function sample(data, width, channels, count, [above, below, down], [left, right, across]) {
  const result = new Float32Array(above.length * left.length * count);
  let to = 0;
  for (let y = 0; y < above.length; y++)
    for (let x = 0; x < left.length; x++)
      for (let c = 0; c < count; c++) {
        const a = data[(above[y] * width + left[x]) * channels + c], b = data[(above[y] * width + right[x]) * channels + c];
        const d = data[(below[y] * width + left[x]) * channels + c], e = data[(below[y] * width + right[x]) * channels + c];
        const top = a + across[x] * (b - a);
        result[to++] = top + down[y] * (d + across[x] * (e - d) - top);
      }
  return result;
}
