// Serve this folder on http://127.0.0.1:8080 (npm start). The environment variable PORT sets another port.
// Any other server works too. Without the two Cross-Origin headers below, browsers allow WebAssembly only one thread.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const port = Number(process.env.PORT || 8080); // 0: any free port

// Return the path of the file that a request names, or null.
function findFile(url) {
  try {
    const name = normalize(decodeURIComponent(new URL(url, "http://x").pathname));
    const path = join(here, name === "/" ? "index.html" : name);
    return path.startsWith(here) && statSync(path).isFile() ? path : null;
  } catch {
    return null; // not a URL, not UTF-8, too long, or missing
  }
}

const server = createServer((request, response) => {
  const path = findFile(request.url);
  if (path === null) {
    response.writeHead(404).end("not found");
    return;
  }
  response.writeHead(200, {
    "Content-Type": types[extname(path)] || "application/octet-stream",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  });
  createReadStream(path).on("error", () => response.destroy()).pipe(response);
});
server.on("error", (error) => {
  const reason = error.code === "EADDRINUSE" ? "is in use" : `cannot be opened (${error.message})`;
  console.error(`port ${port} ${reason}; choose another one, for example: PORT=8081 npm start`);
  process.exitCode = 2;
});
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
