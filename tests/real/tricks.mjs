// Servers of both versions of HTTP that say which of their handlers for `/admin`, and for the host `admin.shop`, a request
// reached. Targets are read by `new URL`, as node's own documentation shows it. Prints the ports, then `HANDLER CASE` for each
// request that reached one.

import http from "node:http";
import http2 from "node:http2";

const read = (text) => {
  try {
    return text();
  } catch {
    return "";
  }
};
const below = (path) => path === "/admin" || path.startsWith("/admin/");

const answer = (request, response) => {
  const number = request.headers["x-case"];
  const path = read(() => new URL(request.url, "http://orders").pathname);
  const plain = read(() => decodeURIComponent(path));
  if (below(path) || below(plain)) console.log(`path ${number}`);
  const host = request.headers[":authority"] ?? request.headers.host;
  const named = read(() => new URL(`http://${host}/`).hostname);
  if (["admin.shop", "admin.shop."].includes(named)) console.log(`host ${number}`);
  response.end();
};

const servers = { http1: http.createServer(answer), http2: http2.createServer(answer) };
for (const [name, server] of Object.entries(servers)) {
  server.on("error", () => {});
  server.listen(0, "127.0.0.1", () => console.log(`${name} ${server.address().port}`));
}
