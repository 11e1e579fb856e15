import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.EnumSet;
import javax.net.ssl.CertPathTrustManagerParameters;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * A client over Java's own TLS stack, which checks the revocation of every certificate on its way, hard. It prints
 * what it was told; a refusal goes to standard error with exit code 1.
 *
 * <pre>
 * Client verify ocsp|crl CHAIN ROOTS client|server
 * Client get    ocsp|crl URL PKCS12 PASSWORD ROOTS
 * </pre>
 *
 * With `ocsp` it asks the responder, and looks at lists for CAs that point to none; with `crl` it looks at lists alone.
 */
public class Client {
    public static void main(String[] with) {
        System.setProperty("com.sun.security.enableCRLDP", "true");
        try {
            System.out.print(run(with));
        } catch (Exception error) {
            for (Throwable each = error; each != null; each = each.getCause()) System.err.println(each);
            System.exit(1);
        }
    }

    private static String run(String[] with) throws Exception {
        return with[0].equals("verify") ? verify(with) : get(with);
    }

    private static X509Certificate[] certificates(String path) throws Exception {
        try (var file = new FileInputStream(path)) {
            return CertificateFactory.getInstance("X.509").generateCertificates(file).toArray(new X509Certificate[0]);
        }
    }

    private static TrustManagerFactory trusting(String path, boolean lists) throws Exception {
        var trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        for (var root : certificates(path)) trusted.setCertificateEntry("root" + trusted.size(), root);
        var checker = (PKIXRevocationChecker) CertPathBuilder.getInstance("PKIX").getRevocationChecker();
        if (lists) checker.setOptions(EnumSet.of(Option.PREFER_CRLS, Option.NO_FALLBACK));
        var wanted = new PKIXBuilderParameters(trusted, new X509CertSelector());
        wanted.addCertPathChecker(checker);
        var factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(new CertPathTrustManagerParameters(wanted));
        return factory;
    }

    private static String verify(String[] with) throws Exception {
        var judge = (X509TrustManager) trusting(with[3], with[1].equals("crl")).getTrustManagers()[0];
        var chain = certificates(with[2]);
        if (with[4].equals("server")) judge.checkServerTrusted(chain, "UNKNOWN");
        else judge.checkClientTrusted(chain, "UNKNOWN");
        return "";
    }

    private static String get(String[] with) throws Exception {
        var password = with[4].toCharArray();
        var store = KeyStore.getInstance("PKCS12");
        try (var file = new FileInputStream(with[3])) {
            store.load(file, password);
        }
        var own = KeyManagerFactory.getInstance("PKIX");
        own.init(store, password);
        var context = SSLContext.getInstance("TLSv1.3");
        context.init(own.getKeyManagers(), trusting(with[5], with[1].equals("crl")).getTrustManagers(), new SecureRandom());
        var client = HttpClient.newBuilder().sslContext(context).connectTimeout(Duration.ofSeconds(10)).build();
        var answer = client.send(HttpRequest.newBuilder(URI.create(with[2])).build(), BodyHandlers.ofString());
        return answer.statusCode() + " " + answer.body();
    }
}
