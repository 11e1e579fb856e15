import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Posts a body twice with the HttpClient as it comes, and prints version, status and body of each answer. */
public class Post {
    public static void main(String[] with) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int turn = 0; turn < 2; turn++) {
            var request = HttpRequest.newBuilder(URI.create(with[1])).POST(BodyPublishers.ofString(with[0])).build();
            var answer = client.send(request, BodyHandlers.ofString());
            System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body());
        }
    }
}
