// No receipt, no data: what a record store asks before it opens a document. `java Filter.java DOCUMENT`
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.Optional;
import java.util.regex.Pattern;

class Filter {
    static String env(String name) {
        return System.getenv().getOrDefault(name, ".");
    }

    static Optional<String> field(String answer, String name, String type) {
        var found = Pattern.compile("\"name\":\"" + name + "\",\"" + type + "\":\"([^\"]*)\"").matcher(answer);
        return found.find() ? Optional.of(found.group(1)) : Optional.empty();
    }

    /** Whether a document may be opened; the receipt that says so is kept. */
    static boolean permitted(String document) throws Exception {
        var question = """
            {"resourceType":"Parameters","parameter":[
             {"name":"patient","valueIdentifier":{"system":"urn:oid:%s","value":"%s"}},
             {"name":"actor","valueIdentifier":{"system":"urn:oid:1.2.250.1.71.4.2.1","value":"%s"}},
             {"name":"profession","valueCode":"physician"}, {"name":"purpose","valueCode":"TREAT"},
             {"name":"action","valueCode":"read"}, {"name":"item","valueString":"%s"}]}
            """.formatted(env("INS_OID"), env("INS"), env("RPPS"), document);
        var request = HttpRequest.newBuilder(URI.create(env("FHIR_BASE") + "/Consent/$decide")).timeout(Duration.ofSeconds(10))
            .header("Authorization", "Bearer " + env("FHIR_TOKEN")).header("Content-Type", "application/fhir+json")
            .POST(BodyPublishers.ofString(question)).build();
        var answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
        var index = field(answer.body(), "index", "valueString");
        var receipt = field(answer.body(), "receipt", "valueBase64Binary");
        if (answer.statusCode() != 200 || index.isEmpty() || receipt.isEmpty()) return false;
        Files.write(Path.of(env("RECEIPTS"), index.get() + ".sillage-receipt"), Base64.getDecoder().decode(receipt.get()));
        return field(answer.body(), "decision", "valueCode").filter("permit"::equals).isPresent();
    }

    public static void main(String[] args) throws Exception {
        var document = args.length > 0 ? args[0] : env("DOCUMENT");
        if (!permitted(document)) System.exit(3);
        System.out.println(document);
    }
}
