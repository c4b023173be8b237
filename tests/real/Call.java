import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.stream.IntStream;

/** Calls as Java's own client makes them: each offers to go on in HTTP/2 (`Upgrade: h2c`) until somebody takes that up. */
public class Call {
    /** The first listener leads to one service, the second to all that are named. */
    public static void main(String[] ports) throws Exception {
        var straight = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(20));
        var client = straight.build();
        var bound = "http://127.0.0.1:" + ports[0];
        say(client.send(get(bound + "/java"), BodyHandlers.ofString()));
        say(client.send(post(bound + "/java", "pears"), BodyHandlers.ofString()));
        var all = IntStream.range(0, 50)
                .mapToObj(n -> client.sendAsync(post(bound + "/java/many", "" + n), BodyHandlers.ofString())
                        .thenApply(answer -> answer.statusCode() == 200 && answer.body().equals("" + n)))
                .toList();
        System.out.println(all.stream().filter(same -> same.join()).count() + " of " + all.size());

        var proxy = ProxySelector.of(new InetSocketAddress("127.0.0.1", Integer.parseInt(ports[1])));
        var proxied = straight.proxy(proxy).build();
        say(proxied.send(get("http://orders/java/proxied"), BodyHandlers.ofString()));
        say(proxied.send(post("http://orders/java/proxied", "plums"), BodyHandlers.ofString()));
        say(proxied.send(get("http://nobody/java/nowhere"), BodyHandlers.ofString()));
    }

    static HttpRequest get(String uri) {
        return HttpRequest.newBuilder(URI.create(uri)).timeout(Duration.ofSeconds(20)).build();
    }

    static HttpRequest post(String uri, String body) {
        return HttpRequest.newBuilder(URI.create(uri)).timeout(Duration.ofSeconds(20))
                .POST(BodyPublishers.ofString(body)).build();
    }

    static void say(HttpResponse<String> answer) {
        System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body().strip());
    }
}
