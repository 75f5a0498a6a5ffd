// What java.net.CookieManager does: reads "URL of the answer TAB Set-Cookie TAB URL of the next request" line by line
// and prints the Cookie header of that request, each case with a store of its own.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.CookieManager;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

class CookieOracle {
    public static void main(String[] args) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            String[] parts = line.split("\t");
            var manager = new CookieManager();
            manager.put(new URI(parts[0]), Map.of("Set-Cookie", List.of(parts[1])));
            var found = manager.get(new URI(parts[2]), Map.of()).get("Cookie");
            System.out.println(found == null ? "" : String.join("; ", found));
        }
    }
}
