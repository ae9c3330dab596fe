// Records an event with java.net.http, reads it back and finds it. `java Record.java`
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Instant;

class Record {
    static final String BASE = System.getenv("FHIR_BASE");
    static final HttpClient HTTP = HttpClient.newHttpClient();

    static String event(String document) {
        return """
            {"resourceType":"AuditEvent",
             "type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},
             "subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"read"}],
             "action":"R","recorded":"%s","outcome":"0",
             "agent":[{"who":{"identifier":{"system":"urn:oid:1.2.250.1.71.4.2.1","value":"%s"}},"requestor":true}],
             "source":{"observer":{"display":"archive"}},
             "entity":[{"what":{"reference":"%s"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"3"}},
              {"what":{"identifier":{"system":"urn:oid:%s","value":"%s"},"type":"Patient"},
               "type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"},
               "role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}}]}
            """.formatted(Instant.now(), System.getenv("RPPS"), document, System.getenv("INS_OID"), System.getenv("INS"));
    }

    static HttpRequest.Builder to(String url) {
        return HttpRequest.newBuilder(URI.create(url)).header("Authorization", "Bearer " + System.getenv("FHIR_TOKEN"))
            .header("Content-Type", "application/fhir+json");
    }

    static HttpResponse<String> send(HttpRequest request, int status) throws Exception {
        var answer = HTTP.send(request, BodyHandlers.ofString());
        if (answer.statusCode() != status) throw new IllegalStateException(answer.statusCode() + " " + answer.body());
        return answer;
    }

    public static void main(String[] args) throws Exception {
        var made = send(to(BASE + "/AuditEvent").POST(BodyPublishers.ofString(event("DocumentReference/java"))).build(), 201);
        var url = made.headers().firstValue("Location").orElseThrow();
        var read = send(to(url).GET().build(), 200);
        if (!read.body().contains("DocumentReference/java")) throw new IllegalStateException("another event");
        var id = url.replaceAll("/_history/.*", "").replaceAll(".*/", "");
        var entity = URLEncoder.encode("DocumentReference/java", StandardCharsets.UTF_8);
        var found = send(to(BASE + "/AuditEvent?entity=" + entity).GET().build(), 200);
        if (!found.body().contains(id)) throw new IllegalStateException("not found");
        System.out.println(id);
    }
}
